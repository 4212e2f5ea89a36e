//! The data of a run that is looked at from another folder than the one in which it was started.

use crate::data;
use std::path::{self, Path, PathBuf};

/// Where the data at a relative path lies that the settings in `file` name. The path as it is, if something is there; else
/// the path below the nearest folder above `file` that has it, which is where a run was started that lies beside its data
/// or below it. If no folder has it, the path as it is. A folder that holds the run is not the run's data: the `scenes` that
/// the program makes are not a folder of this name in which somebody trains on them.
#[must_use]
pub fn seen_from(file: &Path, data: &Path) -> PathBuf {
    // Of a pattern for several shards, the folder that they lie in.
    let fixed: PathBuf = data.iter().take_while(|part| !data::formats::is_pattern(Path::new(part))).collect();
    if data.is_absolute() || fixed.as_os_str().is_empty() || fixed.exists() {
        return data.to_path_buf();
    }
    let above = path::absolute(file).unwrap_or_default();
    let near = |folder: &Path| {
        let place = folder.join(&fixed);
        (place.exists() && !above.starts_with(&place)).then(|| folder.join(data))
    };
    let found = above.ancestors().skip(1).find_map(near).filter(|path| path.to_str().is_some());
    found.unwrap_or_else(|| data.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::create_dir_all;

    #[test]
    fn data_is_found_beside_a_run_but_is_never_the_folder_that_holds_it() {
        let dir = tempfile::TempDir::new().unwrap();
        create_dir_all(dir.path().join("scenes/run")).unwrap();
        create_dir_all(dir.path().join("runs/run")).unwrap();
        let seen = |run: &str| seen_from(&dir.path().join(run).join("config.toml"), Path::new("scenes"));
        assert_eq!(seen("runs/run"), dir.path().join("scenes"));
        assert_eq!(seen("scenes/run"), Path::new("scenes"));
    }
}
