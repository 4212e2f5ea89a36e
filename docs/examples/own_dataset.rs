//! Trains a masked autoencoder on images of your own making: anything that implements `Dataset`.
//!
//! ```sh
//! cargo run --release --example own_dataset
//! ```

use std::sync::Arc;
use vit_mae::data::{Dataset, Image};
use vit_mae::tasks::{Config, Pretrain};
use vit_mae::train::metrics::{EpochRecord, StepRecord};
use vit_mae::train::source::Source;
use vit_mae::train::{Observer, Run, RunDir};
use vit_mae::{Error, Result};

const SIDE: usize = 16;

/// Grey waves that run across the image or down, each with a phase of its own, drawn when they are asked for.
struct Waves {
    first: usize,
    images: usize,
}

impl Dataset for Waves {
    fn len(&self) -> usize {
        self.images
    }

    /// Every image is a function of its index: it may be asked for from any thread, in any order.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "27.5 to 227.5")]
    fn image(&self, index: usize) -> Result<Image> {
        let index = self.first + index;
        let (phase, across) = (index as f64 * 0.7, index.is_multiple_of(2));
        let brightness = |i: usize| {
            let place = if across { i % SIDE } else { i / SIDE };
            (127.5 + 100.0 * (place as f64 * 0.4 + phase).sin()).round() as u8
        };
        Ok(Image::new(SIDE, SIDE, 1, (0..SIDE * SIDE).map(brightness).collect()))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None // pre-training needs none
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn source(&self, index: usize) -> String {
        format!("wave {}", self.first + index)
    }

    fn describe(&self) -> String {
        format!("{} images of waves", self.images)
    }

    fn size(&self) -> Option<(usize, usize)> {
        Some((SIDE, SIDE))
    }

    /// Tells this data from other data when a run is resumed.
    fn digest(&self) -> Result<u32> {
        u32::try_from(self.images).map_err(|_| Error::setting("images", "fewer than 2³²", self.images))
    }
}

/// Prints a line an epoch; a program with a window would draw here, and `stop` would tell when it is closed.
#[derive(Default)]
struct Printer {
    held_out: Vec<f64>,
}

impl Observer for Printer {
    fn step(&mut self, _: &StepRecord, _: u64) {}

    fn epoch(&mut self, record: &EpochRecord) {
        let held_out = record.score("loss").unwrap_or(f64::NAN);
        println!("epoch {}: loss {:.4}, held-out {held_out:.4}", record.epoch, record.train_loss);
        self.held_out.push(held_out);
    }

    fn should_stop(&self) -> Option<u8> {
        None
    }
}

/// Trains in `out`, which may not exist yet, and returns the first and the last validation loss.
pub(crate) fn train(out: &std::path::Path) -> Result<(f64, f64)> {
    // A preset, and whatever should be different, as `--set` would have it.
    let set = |key: &str, value: toml::Value| (key.to_owned(), value);
    let side = i64::try_from(SIDE).expect("a small number");
    let changes = vec![
        set("model.img_size", vec![side, side].into()),
        set("model.embed_dim", 32.into()),
        set("model.depth", 2.into()),
        set("model.decoder_embed_dim", 32.into()),
        set("optim.epochs", 10.into()),
        set("optim.warmup_epochs", 1.into()),
    ];
    let config = Config::resolve("nano", None, changes)?;

    let source = Source {
        train: Arc::new(Waves { first: 0, images: 2048 }),
        validation: Ok(Arc::new(Waves { first: 2048, images: 128 })),
        test: Err("these waves have none".to_owned()),
    };
    let mut run =
        Run::<Pretrain>::on(source, config, &(), || RunDir::create(Some(out.to_path_buf()), false))?;
    let mut printer = Printer::default();
    run.train("docs/examples/own_dataset.rs", &mut printer)?;
    let losses = printer.held_out;
    Ok((losses[0], losses[losses.len() - 1]))
}

fn main() -> Result<()> {
    let out = std::path::Path::new("runs/waves");
    let (first, last) = train(out)?;
    println!(
        "validation loss {first:.4} after the first epoch, {last:.4} after the last; see {}",
        out.display()
    );
    Ok(())
}
