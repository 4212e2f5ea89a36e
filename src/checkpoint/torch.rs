//! PyTorch's own files. They are pickles, programs that are run to be read, so none is read here: a few lines of Python make
//! safetensors of them.

use crate::base::Error;
use std::path::Path;

/// How a zip file begins, which `torch.save` writes since version 1.6.
const ZIP: [u8; 4] = *b"PK\x03\x04";
/// How a pickle of protocol 2 begins, which it wrote before.
const PICKLE: [u8; 2] = [0x80, 2];

/// Whether a file that is no safetensors file is one of PyTorch.
pub(super) fn is_pickle(path: &Path, head: [u8; 8]) -> bool {
    let named = path.extension().is_some_and(|end| ["pth", "pt", "ckpt"].iter().any(|name| end == *name));
    named || head.starts_with(&ZIP) || head.starts_with(&PICKLE)
}

/// The refusal, with the two lines.
pub(super) fn refused(path: &Path) -> Error {
    let to = match path.file_stem() {
        Some(stem) if stem == "pytorch_model" => path.with_file_name("model.safetensors"), // where a folder has it
        _ => path.with_extension("safetensors"),
    };
    let found = format!(
        "a file of PyTorch, which can run code when it is read. Convert it with Python:  import torch; from \
         safetensors.torch import save_file; w = torch.load({:?}, map_location=\"cpu\", weights_only=True); \
         w = w.get(\"model\", w.get(\"state_dict\", w.get(\"teacher\", w)))  and then  \
         save_file({{k: v.contiguous() for k, v in w.items() if hasattr(v, \"contiguous\")}}, {:?})",
        path.display().to_string(),
        to.display().to_string(),
    );
    Error::input(path, "format", "safetensors", found)
}
