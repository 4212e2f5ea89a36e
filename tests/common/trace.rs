//! What the tests of `audit trace` share: the data in a page, its comparison with the file, a browser.

use super::Place;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use vit_mae::checkpoint::tensors::File;

/// What a page in this place shows.
pub(crate) fn page_data(place: &Place, name: &str) -> Value {
    data_of(&place.text(name))
}

/// What a page shows.
pub(crate) fn data_of(page: &str) -> Value {
    let start = page.split_once("id=\"trace-data\">").expect("the data").1;
    serde_json::from_str(start.split_once("</script>").expect("its end").0).expect("JSON")
}

/// An f32 as the page prints it: the shortest decimal that comes back as the same bits.
fn single(value: &Value) -> f32 {
    value.to_string().parse().expect("a number")
}

fn double(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Compares everything that the page has from a tensor with the file.
pub(crate) fn compare(data: &Value, file: &File) {
    for name in ["loss", "loss_after", "grad_norm"] {
        assert_eq!(double(&data["numbers"][name]).to_bits(), file.read::<f64>(name).unwrap()[0].to_bits());
    }
    let rows = |name: &str| data[name].as_array().expect(name).iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(rows("noise").map(double).collect::<Vec<_>>(), file.read::<f64>("noise").unwrap());
    let shuffled: Vec<_> = rows("ids_shuffle").map(|i| i.as_i64().unwrap()).collect();
    assert_eq!(shuffled, file.read_i64("ids_shuffle").unwrap());
    assert_eq!(
        rows("loss_per_patch").map(single).collect::<Vec<_>>(),
        file.read::<f32>("loss_per_patch").unwrap()
    );

    let (mut exact, mut coded) = (0, 0);
    for (name, tensor) in data["tensors"].as_object().unwrap() {
        let values = match name.strip_prefix("update.") {
            None => file.read::<f32>(name).unwrap(),
            Some(name) => {
                let [before, after] =
                    ["param", "adamw1"].map(|kind| file.read::<f32>(&format!("{kind}.{name}")).unwrap());
                after.iter().zip(before).map(|(after, before)| after - before).collect()
            }
        };
        let first: Vec<f32> = tensor["first"].as_array().unwrap().iter().map(single).collect();
        assert_eq!(first, values[..first.len()], "{name}");
        compare_statistics(name, &tensor["statistics"], &values);
        let shape: Vec<usize> = tensor["shape"].as_array().unwrap().iter().map(index).collect();
        for (row, norm) in tensor["norms"].as_array().into_iter().flatten().enumerate() {
            let row = &values[row * shape[2]..(row + 1) * shape[2]];
            close(name, double(norm), row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt());
        }
        let pictures = tensor["pictures"].as_array().unwrap();
        let len = if pictures.is_empty() { 0 } else { values.len() / pictures.len() };
        for (i, picture) in pictures.iter().enumerate() {
            let bits = compare_picture(name, picture, &values[i * len..(i + 1) * len]);
            *(if bits { &mut exact } else { &mut coded }) += 1;
        }
    }
    assert!(exact > 10 && coded > 100, "{exact} pictures with the tensor's bits, {coded} in a byte a cell");
    for update in data["update"].as_array().unwrap() {
        let name = update["name"].as_str().unwrap();
        if let Some(ratio) = update["ratio"].as_f64() {
            let norm = |kind: &str| double(&data["tensors"][format!("{kind}.{name}")]["statistics"]["norm"]);
            close(name, ratio, norm("update") / norm("param"));
        }
    }
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a length")).unwrap()
}

fn close(name: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1e-30), "{name}: {ours} and {theirs}");
}

fn compare_statistics(name: &str, statistics: &Value, values: &[f32]) {
    let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    let (n, largest) = (wide.len() as f64, wide.iter().fold(0.0, |most: f64, x| most.max(x.abs())));
    let mean = wide.iter().sum::<f64>() / n;
    assert_eq!(single(&statistics["min"]), values.iter().copied().reduce(f32::min).unwrap(), "{name}");
    assert_eq!(single(&statistics["max"]), values.iter().copied().reduce(f32::max).unwrap(), "{name}");
    assert!((double(&statistics["mean"]) - mean).abs() <= 1e-12 * largest, "{name}");
    close(
        name,
        double(&statistics["std"]),
        (wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt(),
    );
    close(name, double(&statistics["norm"]), wide.iter().map(|x| x * x).sum::<f64>().sqrt());
    assert_eq!(index(&statistics["zeros"]), values.iter().filter(|&&x| x == 0.0).count(), "{name}");
}

/// Whether the picture has the tensor's bits; a byte must be within half a level of what it stands for.
fn compare_picture(name: &str, picture: &Value, values: &[f32]) -> bool {
    let [rows, columns] = ["rows", "columns"].map(|key| index(&picture[key]));
    let of = [index(&picture["of"][0]), index(&picture["of"][1])];
    assert_eq!(of[0] * of[1], values.len(), "{name}");
    let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    let element =
        |cell: usize| values[cell / columns * of[0] / rows * of[1] + cell % columns * of[1] / columns];
    if picture["coding"] == "f32" {
        let cells: Vec<u32> = bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        assert_eq!(
            cells,
            (0..rows * columns).map(|cell| element(cell).to_bits()).collect::<Vec<_>>(),
            "{name}"
        );
        return true;
    }
    assert_eq!(bytes.len(), rows * columns, "{name}");
    let scale = double(&picture["scale"]);
    for (cell, &byte) in bytes.iter().enumerate() {
        let x = f64::from(element(cell));
        let (level, least, step) = match picture["coding"].as_str() {
            Some("signed") => ((f64::from(byte) - 128.0) / 127.0 * scale, -scale, scale / 127.0),
            _ => (f64::from(byte) / 255.0 * scale, 0.0, scale / 255.0),
        };
        assert!((level - x.clamp(least, scale)).abs() <= 0.501 * step, "{name}: {level} for {x}");
    }
    false
}

/// Chromium or one of its relatives: what `CHROMIUM` names, or the first of the usual names.
pub(crate) fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let works = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    names.into_iter().find(|name| works(name)).map(PathBuf::from)
}

/// Opens `page#selftest` without a window, and returns what it wrote down.
pub(crate) fn self_test(browser: &Path, page: &Path) -> Value {
    let profile = tempfile::tempdir().unwrap();
    let output = assert_cmd::Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--window-size=1440,1000"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}#selftest", page.display()))
        .timeout(Duration::from_secs(120))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let errors: Vec<&str> =
        log.lines().filter(|line| line.contains("CONSOLE") && !line.contains(":INFO:CONSOLE")).collect();
    assert!(errors.is_empty() && !log.contains("Uncaught"), "the console has {errors:?}");
    let written = dom.split_once("<pre id=\"selftest\">").unwrap_or_else(|| panic!("no result: {log}")).1;
    let text = written.split_once("</pre>").expect("its end").0;
    serde_json::from_str(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).expect("JSON")
}
