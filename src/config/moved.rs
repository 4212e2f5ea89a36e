//! The data of a run that is looked at from another folder than the one in which it was started.

use crate::data;
use std::path::{self, Path, PathBuf};

/// Where the data at a relative path lies that the settings in `file` name. The path as it is, if something is there; else
/// the path below the nearest folder above `file` that has it, which is where a run was started that lies beside its data
/// or below it. If no folder has it, the path as it is.
#[must_use]
pub fn seen_from(file: &Path, data: &Path) -> PathBuf {
    // Of a pattern for several shards, the folder that they lie in.
    let fixed: PathBuf = data.iter().take_while(|part| !data::formats::is_pattern(Path::new(part))).collect();
    let near = |folder: &Path| folder.join(&fixed).exists().then(|| folder.join(data));
    if data.is_absolute() || fixed.as_os_str().is_empty() || fixed.exists() {
        return data.to_path_buf();
    }
    let above = path::absolute(file).unwrap_or_default();
    let found = above.ancestors().skip(1).find_map(near).filter(|path| path.to_str().is_some());
    found.unwrap_or_else(|| data.to_path_buf())
}
