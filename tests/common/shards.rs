//! Tar shards for tests, in memory.

use std::io::Cursor;

/// A member's name and content.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a>(pub(crate) &'a str, pub(crate) &'a [u8]);

/// A tar file of these members, with names as they are.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for Member(name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if name.starts_with("..") {
            // The crate writes no such names, so the field is filled by hand.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        } else {
            builder.append_data(&mut header, name, *content).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// A PNG of 4 × 3 pixels of this grey.
pub(crate) fn png(level: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::GrayImage::from_pixel(4, 3, image::Luma([level]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}
