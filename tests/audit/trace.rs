//! Claim: `audit trace` shows the training step that training takes, bit for bit; the page's numbers are those
//! of the file; the page quotes the sources as they are; in a browser every step opens and everything works.

use crate::common::Place;
use crate::common::trace::{browser, data_of, page_data, self_test};
use ndarray::Array4;
use std::path::Path;
use vit_mae::audit::trace::quote::{SOURCES, quote};
use vit_mae::audit::trace::stages::stages;
use vit_mae::audit::trace::{Batch, Start, Trace};
use vit_mae::checkpoint::tensors::File;
use vit_mae::mae::Mae;
use vit_mae::optim::{AdamW, groups};
use vit_mae::params::Params;
use vit_mae::tasks::Config;
use vit_mae::tasks::mae::load;
use vit_mae::tasks::mae::step::loss_and_gradient;
use vit_mae::train::WorkerPool;

fn tiny(place: &Place) -> Config {
    Config::resolve("nano", Some(&place.path("tiny.toml")), Vec::new()).unwrap()
}

fn bits(model: &Mae<f32>) -> Vec<u32> {
    model.tensors().iter().flat_map(|t| t.data.iter().map(|x| x.to_bits())).collect()
}

#[test]
fn every_quoted_function_exists_and_reads_as_in_the_source() {
    let config = Config::resolve("nano", None, Vec::new()).unwrap();
    let mut files = Vec::new();
    for stage in stages(&config.model) {
        assert!(!stage.computes.is_empty() && !stage.inverts.is_empty(), "{}", stage.id);
        for address in stage.computes.iter().chain(&stage.inverts) {
            let quote = quote(address).unwrap_or_else(|e| panic!("{}: {e}", stage.id));
            let text =
                std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&quote.file)).unwrap();
            let lines: Vec<&str> = text.lines().skip(quote.line - 1).map(str::trim).collect();
            for (quoted, line) in quote.code.lines().zip(lines) {
                assert_eq!(quoted.trim(), line, "{address}");
            }
            let name = address.rsplit([' ', ':']).next().unwrap();
            assert!(quote.code.contains(&format!("fn {name}")), "{address} quotes {}", quote.code);
            assert!(quote.code.ends_with('}'), "{address}");
            files.push(quote.file);
        }
    }
    for source in SOURCES {
        assert!(
            files.iter().any(|file| file == source.path),
            "{} is compiled in and never quoted",
            source.path
        );
    }
}

#[test]
fn what_is_not_in_the_source_cannot_be_quoted() {
    for (address, why) in [
        ("layers/linear.rs sideways", "no function `sideways`"),
        ("layers/linear.rs", "no function in"),
        ("layers/nowhere.rs forward", "not among SOURCES"),
        ("layers/mlp.rs Nobody::run", "no `impl` of Nobody"),
    ] {
        let error = quote(address).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_lines_that_invert_the_forward_lines_are_marked() {
    let quote = quote("layers/attention.rs backward").unwrap();
    let lines: Vec<&str> = quote.code.lines().collect();
    let marked: Vec<&str> = quote.key_lines.iter().map(|&i| lines[i].trim()).collect();
    for start in ["// o = P V  ⇒", "// P = softmax(S)  ⇒", "// S = Q Kᵀ / √d_h  ⇒"] {
        assert!(marked.iter().any(|line| line.starts_with(start)), "{start} is not marked in {marked:#?}");
    }
    assert!(marked.len() < lines.len() && !marked.iter().any(|line| line.starts_with("let AttentionCache")));
}

#[test]
fn a_traced_step_is_the_training_step_bit_for_bit() {
    let place = Place::new();
    let mut start = Start::initialised(tiny(&place), "tiny").unwrap();
    let files = [place.path("images/00.png"), place.path("images/05.png"), place.path("images/09.png")];
    start.config.data.path = Some(place.path("images"));
    let batch = Batch::open(&mut start.config, &files, 3).unwrap();
    let (images, masks): (Array4<f32>, _) = (batch.images.clone(), batch.masks.clone());
    let mut model = start.model.clone();
    let trace = Trace::record(start, batch, 1e-3).unwrap();

    let workers = WorkerPool::new(trace.config.run.gemm);
    let (loss, grad) = loss_and_gradient(&model, images.view(), &masks, 8, &workers);
    assert_eq!(trace.loss.to_bits(), loss.to_bits());
    assert_eq!(bits(&trace.grad), bits(&grad));
    let betas = trace.config.optim.betas;
    let mut adamw = AdamW::new(&model, (betas[0], betas[1]));
    let groups = groups::pretraining(&model, trace.config.optim.weight_decay);
    adamw.step(&mut model, &grad, &groups, 1e-3);
    assert_eq!(bits(&trace.after), bits(&model));
    let (after, _) = loss_and_gradient(&model, images.view(), &masks, 8, &workers);
    assert_eq!(trace.loss_after.to_bits(), after.to_bits());
}

#[test]
fn the_file_has_every_tensor_that_a_recording_of_the_reference_has() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mae_v2.f32.safetensors");
    let golden = File::open(golden).unwrap();
    let place = Place::new();
    place.write(
        "v2.toml",
        "[model]\nimg_size = [32, 32]\npatch_size = 8\nin_chans = 3\nembed_dim = 48\ndepth = 2\nnum_heads = 3\n\
         decoder_embed_dim = 32\ndecoder_depth = 2\ndecoder_num_heads = 4\nnorm_pix_loss = true\n\
         [data]\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n",
    );
    let images = ["--images", "images/00.png", "images/01.png"];
    place.done(&[&["audit", "trace", "--config", "v2.toml", "--out", "t"], &images[..]].concat());
    let file = File::open(place.path("t/trace.safetensors")).unwrap();
    let later = |name: &str| name.starts_with("adamw3.") || name == "adamw_losses";
    for name in golden.names().iter().filter(|name| !later(name)) {
        assert_eq!(file.shape(name).unwrap(), golden.shape(name).unwrap(), "{name}");
        let (ours, theirs) = (file.dtype(name).unwrap(), golden.dtype(name).unwrap());
        let in_f64 = ["loss", "grad_norm", "noise"].contains(&name.as_str());
        assert!(in_f64 || ours == theirs, "{name}: {ours:?} and {theirs:?}");
    }
    let about: serde_json::Value = serde_json::from_str(&file.metadata()["golden"]).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&golden.metadata()["golden"]).unwrap();
    for key in ["kind", "dtype", "len_keep", "num_patches"] {
        assert_eq!(about[key], reference[key], "{key}");
    }
    for key in ["embed_dim", "depth", "img_size", "mask_ratio", "batch", "layer_norm_eps", "norm_pix_loss"] {
        assert_eq!(about["config"][key], reference["config"][key], "{key}");
    }
}

#[test]
fn every_number_on_the_page_is_that_of_the_file() {
    let place = Place::new();
    let args = ["audit", "trace", "--config", "tiny.toml", "--images", "images/02.png", "images/03.png"];
    place.done(&[&args[..], &["--out", "t"]].concat());
    let data = page_data(&place, "t/trace.html");
    crate::common::trace::compare(&data, &File::open(place.path("t/trace.safetensors")).unwrap());
}

#[test]
fn a_step_from_a_checkpoint_is_the_runs_next_with_its_moments() {
    let place = Place::trained(&[]);
    let printed =
        place.done(&["audit", "trace", "--checkpoint", "run", "--out", "t", "--json", "--lr", "0.002"]);
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let steps = load::load(&place.path("run")).unwrap().2.state.step;
    assert_eq!(printed["step"], steps + 1);
    let file = File::open(place.path("t/trace.safetensors")).unwrap();
    let checkpoint = load::load(&place.path("run")).unwrap().2;
    let name = "blocks.0.mlp.fc1.weight";
    let same = |ours: &str, theirs: &File, name: &str| {
        assert_eq!(file.read::<f32>(ours).unwrap(), theirs.read::<f32>(name).unwrap(), "{ours}");
    };
    same(&format!("param.{name}"), &checkpoint.model, name);
    same(&format!("m0.{name}"), &checkpoint.optimizer, &format!("m.{name}"));
    same(&format!("v0.{name}"), &checkpoint.optimizer, &format!("v.{name}"));
    crate::common::trace::compare(&page_data(&place, "t/trace.html"), &file);
}

#[test]
fn the_page_loads_nothing_and_closes_no_element_that_a_name_could_open() {
    let place = Place::new();
    let name = "images/<b>&\"'.png";
    place.image(name, 3, (8, 8), 1);
    place.done(&["audit", "trace", "--config", "tiny.toml", "--images", name, "--out", "t"]);
    let page = place.text("t/trace.html");
    for load in ["http://", "https://", "<link", "@import", "url(", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(load), "the page has {load}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("<b>"));
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(page_data(&place, "t/trace.html")["sources"][0], "<b>&\"'.png");
}

#[test]
fn in_a_browser_every_step_opens_and_everything_works() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium found (install `chromium`, or set CHROMIUM to its path)");
        return;
    };
    let place = Place::new();
    let args = ["audit", "trace", "--config", "tiny.toml", "--images", "images/02.png", "images/03.png"];
    place.done(&[&args[..], &["--out", "t"]].concat());
    let result = self_test(&browser, &place.path("t/trace.html"));
    assert_eq!(result["wrong"], serde_json::json!([]), "{result}");
    assert_eq!(result["passed"], true);
    assert_eq!(result["steps"], 2 * 11, "a step down and one up for each stage");

    // A self-test that has never failed proves little: a number is changed, and it must be missed.
    let page = place.text("t/trace.html");
    let loss = data_of(&page)["numbers"]["loss"].to_string();
    let planted = page.replacen(&format!("\"loss\":{loss}"), "\"loss\":0.123", 1);
    assert_ne!(page, planted);
    place.write("planted.html", planted);
    let result = self_test(&browser, &place.path("planted.html"));
    assert_eq!(result["passed"], false, "{result}");
    assert!(result["wrong"].to_string().contains("#forward/loss"), "{result}");
}
