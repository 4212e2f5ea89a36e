//! The `vit-mae` command.

fn main() {}
