//! Claim: plots, sheets and reports show what they are given, at the sizes they promise, and run nothing.

use image::RgbImage;
use vit_mae::checkpoint::{EpochRecord, Named};
use vit_mae::draw::report::Report;
use vit_mae::draw::sheet::{Picture, Sheet};
use vit_mae::train::curves;
use vit_mae::train::metrics::{Record, StepRecord};

fn records(steps: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for step in 1..=steps {
        let t = f64::from(step) / f64::from(steps);
        let noise = 0.04 * f64::from(step).sin();
        records.push(Record::Step(StepRecord {
            step: u64::from(step),
            epoch: 20.0 * t,
            loss: 0.42 + 0.7 * (-5.0 * t).exp() + noise,
            lr: 1.5e-4 * (20.0 * t).min(1.0) * 0.5 * (1.0 + (t * std::f64::consts::PI).cos()),
            grad_norm: 1.0,
            images_per_s: 500.0,
            values: vit_mae::checkpoint::Named::default(),
            weights_digest: None,
            chain: None,
        }));
        if step % (steps / 20) == 0 {
            records.push(Record::Epoch(EpochRecord {
                epoch: u64::from(step / (steps / 20)),
                step: u64::from(step),
                train_loss: 0.42 + 0.7 * (-5.0 * t).exp(),
                scores: Named::scores([("loss", 0.45 + 0.68 * (-5.0 * t).exp())]),
                skipped_steps: 0,
                wall_secs: 12.0,
                images_per_s: 500.0,
                data_wait_secs: 0.1,
            }));
        }
    }
    records
}

fn references() -> Vec<(String, f64)> {
    vec![
        ("predicting the mean".into(), 0.98),
        ("<nearest> & best".into(), 0.97),
        ("copying the nearest visible patch".into(), 0.71),
    ]
}

/// A made-up picture: a disc on a gradient.
fn disc(side: u32) -> Picture {
    let bytes = (0..side * side).flat_map(|i| {
        let (x, y) = (i % side, i / side);
        let (dx, dy) = (2 * i64::from(x) - i64::from(side), 2 * i64::from(y) - i64::from(side));
        let level = u8::try_from(255 * x / side).unwrap();
        if dx * dx + dy * dy < i64::from(side * side / 2) { [240, 180, 60] } else { [level, 90, 140] }
    });
    Picture::rgb(side, side, bytes.collect())
}

fn sheet(side: u32, rows: usize) -> Sheet {
    let note = Some("oracle statistics: the reconstruction uses the mean and variance of the hidden patches");
    let mut sheet =
        Sheet::new(&["original", "masked 75 %", "reconstruction", "visible + reconstruction"], note);
    for _ in 0..rows {
        let gray = Picture::gray(side, side, &vec![128; (side * side) as usize]);
        sheet.push_row([disc(side), gray.clone(), disc(side), gray]);
    }
    sheet
}

fn decoded(sheet: &Sheet) -> RgbImage {
    image::load_from_memory(&sheet.to_png_bytes().unwrap()).unwrap().to_rgb8()
}

/// Widths of a sheet of one column and its tile: 24 pixels of margin on both sides.
fn tile_side(side: u32) -> u32 {
    let mut sheet = Sheet::new(&["x"], None);
    sheet.push_row([disc(side)]);
    decoded(&sheet).width() - 2 * 24
}

#[test]
fn small_pictures_grow_by_whole_factors_and_large_ones_shrink() {
    assert_eq!(tile_side(28), 6 * 28);
    assert_eq!(tile_side(32), 5 * 32);
    assert_eq!(tile_side(64), 3 * 64);
    assert_eq!(tile_side(96), 2 * 96);
    assert_eq!(tile_side(224), 224);
    assert_eq!(tile_side(1000), 256);
}

#[test]
fn enlarging_keeps_every_pixel_a_square_of_its_colour() {
    let mut sheet = Sheet::new(&["x"], None);
    let bytes: Vec<u8> = (0..28 * 28).map(|i| u8::try_from(i % 251).unwrap()).collect();
    sheet.push_row([Picture::gray(28, 28, &bytes)]);
    let png = decoded(&sheet);
    let top = 24 + 16 + 10;
    for (x, y) in [(0, 0), (13, 5), (27, 27)] {
        for (dx, dy) in [(0, 0), (5, 0), (0, 5), (5, 5)] {
            let pixel = png.get_pixel(24 + 6 * x + dx, top + 6 * y + dy);
            assert_eq!(pixel.0, [bytes[(28 * y + x) as usize]; 3], "pixel {x}, {y}");
        }
    }
}

#[test]
fn a_sheet_has_room_for_rows_columns_captions_and_note() {
    let png = decoded(&sheet(32, 3));
    let (tile, gap, margin, text_gap, line) = (160, 10, 24, 10, 16);
    assert_eq!(png.width(), 4 * tile + 3 * gap + 2 * margin);
    // "visible + reconstruction" needs two lines in its column; the note fits one or two.
    let pictures = 3 * tile + 2 * gap;
    let fixed = margin + 2 * line + text_gap + pictures + text_gap + margin;
    assert!([fixed + line, fixed + 2 * line].contains(&png.height()), "{} of {fixed}", png.height());
    let ink = |rows: std::ops::Range<u32>| {
        rows.flat_map(|y| (0..png.width()).map(move |x| (x, y))).any(|(x, y)| png.get_pixel(x, y).0[0] < 128)
    };
    assert!(ink(margin..margin + 2 * line), "captions are drawn");
    assert!(ink(png.height() - margin - line..png.height() - margin), "the note is drawn");
}

#[test]
fn empty_and_odd_sheets_are_drawn_too() {
    decoded(&Sheet::new(&[], None));
    decoded(&Sheet::new(&["nothing yet — 空"], Some("a note that is much wider than one column can be")));
    let mut sheet = Sheet::new(&["wide", "tall"], Some(""));
    sheet.push_row([Picture::gray(1, 1, &[7]), Picture::gray(3, 2000, &[9; 6000])]);
    decoded(&sheet);
}

#[test]
fn the_loss_plot_names_its_axes_curves_and_references() {
    let svg = curves::loss_svg(&records(200), &references(), LOSS).unwrap();
    for text in
        ["step", "loss (mean squared error on masked patches)", "mean of the epoch", "validation images"]
    {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("predicting the mean 0.98"));
    assert!(svg.contains("&lt;nearest&gt; &amp; best 0.97"), "labels are escaped");
}

#[test]
fn plots_of_nothing_of_one_step_and_of_wild_values_are_drawn() {
    assert!(curves::loss_svg(&[], &[], LOSS).unwrap().contains("</svg>"));
    assert!(curves::lr_svg(&[]).unwrap().contains("</svg>"));
    assert!(curves::score_svg(&[], "accuracy").unwrap().contains("</svg>"));
    let one = records(20)[..1].to_vec();
    assert!(curves::loss_svg(&one, &[], LOSS).unwrap().contains("</svg>"));
    let mut wild = records(40);
    for (i, record) in wild.iter_mut().enumerate() {
        if let Record::Step(r) = record {
            r.loss = [1e30, 1e-30, f64::NAN, f64::INFINITY, 0.5][i % 5];
        }
    }
    let references =
        [references(), vec![("broken".into(), f64::NAN), ("huge".into(), f64::INFINITY)]].concat();
    assert!(curves::loss_svg(&wild, &references, LOSS).unwrap().contains("</svg>"));
    assert!(curves::loss_svg(&records(20), &references, LOSS).unwrap().contains("</svg>"));
}

#[test]
fn a_long_run_stays_a_small_file() {
    let svg = curves::loss_svg(&records(40_000), &[], LOSS).unwrap();
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
}

const LOSS: &str = "loss (mean squared error on masked patches)";

fn report() -> Report {
    let settings = "seed = 42\nname = \"<digits> & \\\"more\\\"\"\n\n[model]\nsize = \"vit-tiny\"\ndepth = 12\n\
                    \n[mask]\nratio = 0.75\n\n[train]\nepochs = 20\nbetas = [0.9, 0.95]\n\n[train.schedule]\nwarmup_epochs = 1\n";
    let card = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Report {
        title: "vit-tiny on digits, 20 epochs".into(),
        summary: vec![
            card("final loss", "0.423"),
            card("predicting the mean", "0.981"),
            card("copying the nearest visible patch", "0.712"),
            card("images per second", "1,482"),
            card("wall time", "4 min 12 s"),
            card("parameters", "5.7 M"),
        ],
        settings_toml: settings.into(),
        curves: vec![
            ("Loss".into(), curves::loss_svg(&records(2000), &references(), LOSS).unwrap()),
            ("Learning rate".into(), curves::lr_svg(&records(2000)).unwrap()),
        ],
        sheets_heading: "Reconstructions".into(),
        sheets: vec![
            ("after epoch 1".into(), sheet(28, 2).to_png_bytes().unwrap()),
            ("after epoch 20".into(), sheet(28, 2).to_png_bytes().unwrap()),
        ],
        notes: vec!["skipped 1 of 60,000 images: train/7/broken.png: not a PNG".into()],
        command: "vit-mae pretrain --data digits --epochs 20 --seed 42".into(),
    }
}

#[test]
fn text_from_outside_cannot_become_markup() {
    let evil = "<script>alert('x')</script>\"& {{command}}";
    let report = Report {
        title: evil.into(),
        summary: vec![(evil.into(), evil.into())],
        settings_toml: format!("not toml {evil}"),
        sheets: vec![(evil.into(), vec![1, 2, 3])],
        notes: vec![evil.into()],
        command: evil.into(),
        ..report()
    };
    let html = report.to_html();
    assert!(!html.contains("<script"));
    assert!(!html.contains("alert('x')"));
    let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp; {{command}}";
    assert_eq!(html.matches(escaped).count(), 9, "title twice, card, settings, sheet twice, note, command");
}

#[test]
fn a_report_needs_no_network_and_shows_everything() {
    let html = report().to_html();
    for outside in ["src=\"http", "href=", "@import", "url(", "<link", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
    for text in [
        "vit-tiny on digits",
        "1,482",
        "<td>ratio</td><td>0.75</td>",
        ">train.schedule</th>",
        "<td>name</td><td>&lt;digits&gt; &amp; &quot;more&quot;</td>",
        "<td>betas</td><td>[0.9, 0.95]</td>",
        "broken.png",
        "vit-mae pretrain",
        "after epoch 20",
        "data:image/png;base64,iVBORw0KGgo",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("{{"), "every placeholder is filled");
    // To look at it: TEST_SHOW=folder cargo test --test training files_pictures::
    if let Some(folder) = std::env::var_os("TEST_SHOW") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(folder.join("report.html"), html).unwrap();
        std::fs::write(folder.join("small.png"), sheet(28, 3).to_png_bytes().unwrap()).unwrap();
        std::fs::write(folder.join("large.png"), sheet(224, 2).to_png_bytes().unwrap()).unwrap();
    }
}

#[test]
fn an_empty_report_has_no_empty_sections() {
    let html = Report { title: "nothing".into(), ..Report::default() }.to_html();
    assert!(!html.contains("<h2>"), "{html}");
}
