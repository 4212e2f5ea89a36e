//! Position tables: sine-cosine, and interpolated to another grid.

use super::metadata::whole;
use super::recording::Recording;
use super::tolerance::relative;
use crate::base::{Real, Result};
use crate::layers::pos_embed::sincos;
use crate::layers::pos_interp::interpolate;
use ndarray::{Axis, Ix3};
use serde_json::Value;

/// `dimD_gridG` and `dimD_gridG_cls`: one table for each entry of the configuration.
pub(super) fn position_tables<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    for case in recording.list("config")?.to_vec() {
        let (dim, grid) = (case.get("dim").and_then(whole), case.get("grid").and_then(whole));
        let class = case.get("cls").and_then(Value::as_bool);
        let (Some(dim), Some(grid), Some(class)) = (dim, grid, class) else {
            return Err(recording.wrong("config", "entries with dim, grid and cls", &case));
        };
        if dim == 0 || dim % 4 != 0 || !(1..1 << 14).contains(&grid) {
            let expected = "a width divisible by 4 and a grid of 1 or more";
            return Err(recording.wrong("config", expected, &case));
        }
        let key = format!("dim{dim}_grid{grid}{}", if class { "_cls" } else { "" });
        let shape = [usize::from(class) + grid * grid, dim];
        if recording.promised(&key, &shape)? {
            recording.compare(&key, &shape, sincos(dim, grid, grid, class), relative::<F>(1e-13, 1.2e-7))?;
        }
    }
    Ok(())
}

/// `NAME.input` and `NAME.output` for each entry of the configuration.
pub(super) fn interpolation<F: Real>(recording: &mut Recording<F>) -> Result<()> {
    for case in recording.list("config")?.to_vec() {
        let size = |key: &str| case.get(key).and_then(whole).filter(|n| (1..1 << 14).contains(n));
        let name = case.get("name").and_then(Value::as_str);
        let (Some(name), Some(dim), Some(old), Some(new)) = (name, size("dim"), size("old"), size("new"))
        else {
            return Err(recording.wrong("config", "entries with name, dim, old and new", &case));
        };
        let table = recording.input(&format!("{name}.input"), &[1, 1 + old * old, dim])?;
        let table = table.into_dimensionality::<Ix3>().expect("three axes, just checked");
        let (key, shape) = (format!("{name}.output"), [1, 1 + new * new, dim]);
        if recording.promised(&key, &shape)? {
            let ours = interpolate(table.index_axis(Axis(0), 0), (old, old), (new, new));
            recording.compare(&key, &shape, ours.iter().map(|x| x.f64()), relative::<F>(1e-10, 2e-5))?;
        }
    }
    Ok(())
}
