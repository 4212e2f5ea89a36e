//! The worked examples of detection: anchors, deltas, RoIAlign, losses, suppression and average precision, computed by the
//! library.

use crate::example::Example;
use ndarray::{Array1, Array2, Axis, arr2, s};
use vit_mae::exec::{Backend, Exec};
use vit_mae::models::detect::anchors::{AnchorConfig, anchors};
use vit_mae::models::detect::box_head::BoxOutput;
use vit_mae::models::detect::boxes::{BBox, BOX_WEIGHTS, RPN_WEIGHTS, decode, encode, iou};
use vit_mae::models::detect::losses::{bce, smooth_l1};
use vit_mae::models::detect::matcher::{Label, Matcher};
use vit_mae::models::detect::nms::nms;
use vit_mae::models::detect::region_losses::{box_losses, mask_loss};
use vit_mae::models::detect::roi_align::{Level, Region, RoiAlign, axis};
use vit_mae::models::detect::{DetectLosses, RegionObject, RegionSample};
use vit_mae::tasks::detect::coco::{Detection, ImageResult, Object, Overlap, Protocol, evaluate};

const PAGE: &str = "17-boxes.md";

fn boxes(matrix: &Array2<f64>) -> Vec<BBox<f64>> {
    matrix.outer_iter().map(|row| [row[0], row[1], row[2], row[3]]).collect()
}

fn bbox(e: &mut Example, name: &str) -> BBox<f64> {
    boxes(&e.given(name))[0]
}

fn numbers(positions: &[usize]) -> Array1<f64> {
    positions.iter().map(|&position| position as f64).collect()
}

#[test]
fn anchors_and_matches_have_the_numbers_of_their_chapter() {
    let mut e = Example::read("17-boxes.md", "anchors");
    let config =
        AnchorConfig { sizes: vec![e.scalar("size")], ratios: e.vector("ratios").to_vec(), offset: 0.0 };
    let (all, objects) = (anchors::<f64>(&[[4, 4]], &[8], &config), boxes(&e.given("objects")));
    let pixel = |row: usize, column: usize| 3 * (4 * row + column);
    let anchors = &all[pixel(2, 1)..pixel(2, 3)];
    e.check("anchors", &arr2(anchors));
    let quality = |o: usize, a: usize| iou(objects[o], anchors[a]);
    e.check("IoU", &Array2::from_shape_fn((2, 6), |(o, a)| quality(o, a)));
    for (name, low_quality) in [("by thresholds", false), ("label", true)] {
        let matcher = Matcher { negative_below: 0.3, positive_from: 0.7, low_quality };
        let matches = matcher.matches(2, 6, quality);
        let label = |label| match label {
            Label::Ignored => -1.0,
            Label::Negative => 0.0,
            Label::Positive => 1.0,
        };
        e.check(name, &matches.iter().map(|m| label(m.label)).collect::<Array1<f64>>());
        if low_quality {
            let objects: Vec<usize> = matches.iter().map(|m| m.object.expect("there are two")).collect();
            e.check("object", &numbers(&objects));
        }
    }
    e.done();
}

#[test]
fn box_coding_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("17-boxes.md", "coding");
    let (region, object) = (bbox(&mut e, "region"), bbox(&mut e, "object"));
    e.check("anchor's δ", &arr2(&[encode(region, object, RPN_WEIGHTS)]));
    e.check("region's δ", &arr2(&[encode(region, object, BOX_WEIGHTS)]));
    for (deltas, moved) in [("δ", "moved"), ("wild δ", "limited")] {
        let deltas = bbox(&mut e, deltas);
        e.check(moved, &arr2(&[decode(deltas, region, BOX_WEIGHTS)]));
    }
    e.done();
}

#[test]
fn roi_align_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("17-boxes.md", "roi align");
    let (x, dy, bbox) = (e.given("x"), e.given("dy"), bbox(&mut e, "box"));
    let cx = &mut Exec::new(Backend::default());
    let rows = |picture: &Array2<f64>| picture.to_shape((picture.len(), 1)).expect("as many").to_owned();
    let align = RoiAlign { output: dy.nrows(), sampling: 2 };
    let [height, width] = [x.nrows(), x.ncols()];
    for (name, edges, pixels) in [("R", [bbox[1], bbox[3]], height), ("C", [bbox[0], bbox[2]], width)] {
        let matrix = axis::<f64>(edges.map(|edge| edge / 4.0 - 0.5), align, pixels);
        let mut dense = Array2::zeros((align.output, pixels));
        for cell in 0..align.output {
            matrix.row(cell).iter().for_each(|term| dense[(cell, term.input)] += term.weight);
        }
        e.check(name, &dense);
    }
    let levels = [Level { size: [height, width], scale: 0.25 }];
    let read = align.of(&[Region { image: 0, level: 0, bbox }], &levels);
    let y = read.forward(&[rows(&x)], cx);
    e.check("y", &y);
    let mut dmaps = [Array2::zeros((x.len(), 1))];
    read.backward(rows(&dy).view(), &mut dmaps, cx);
    e.check("dx", &dmaps[0]);
    e.check_scalar("⟨dy, y⟩", (&rows(&dy) * &y).sum());
    e.check_scalar("⟨x, dx⟩", (&rows(&x) * &dmaps[0]).sum());
    e.done();
}

#[test]
fn the_five_losses_have_the_numbers_of_their_chapter() {
    let mut e = Example::read("17-boxes.md", "losses");
    let (mut losses, cx) = (DetectLosses::default(), &mut Exec::new(Backend::default()));
    let scale = 1.0 / e.scalar("quota");
    let (logits, labels) = (e.vector("logits"), e.vector("labels"));
    e.check("BCE", &logits.iter().zip(&labels).map(|(&z, &t)| bce(&[z], &[t], 1.0).0).collect::<Array1<_>>());
    let (sum, slopes) = bce(logits.as_slice().unwrap(), labels.as_slice().unwrap(), scale);
    losses.rpn_cls = scale * sum;
    e.check("dlogits", &Array1::from(slopes));
    let mut above = Example::read(PAGE, "anchors");
    let (anchors, objects) = (boxes(&above.given("anchors")), boxes(&above.given("objects")));
    let targets = [(4, 0), (5, 1)].map(|(a, o): (usize, usize)| encode(anchors[a], objects[o], RPN_WEIGHTS));
    e.check("anchors' δ*", &arr2(&targets));
    let (sum, slopes) = smooth_l1(&[0.0; 8], targets.as_flattened(), 0.0, scale);
    losses.rpn_box = scale * sum;
    e.check("anchors' dδ", &Array1::from(slopes));

    let mut above = Example::read(PAGE, "coding");
    let mask = e.given("covered").into_shape_with_order((2, 2)).expect("four cells");
    let object = RegionObject { class: 1, bbox: bbox(&mut above, "object"), mask };
    let region = bbox(&mut above, "region");
    let regions = [Some(object.clone()), None].map(|object| RegionSample { bbox: region, object });
    let output = BoxOutput { scores: e.given("scores"), deltas: e.given("δ") };
    let doutput = box_losses(&output, &[&regions[0], &regions[1]], 2, &mut losses, cx);
    e.check("dscores", &doutput.scores);
    e.check("dδ", &doutput.deltas);
    let mut cells = Array2::from_elem((4, 2), 7.0);
    cells.column_mut(1).assign(&e.vector("cells"));
    let dcells = mask_loss(&cells, &[&object], 1, &mut losses, cx);
    e.check("dcells", &dcells.column(1));
    assert!(dcells.column(0).iter().all(|&d| d == 0.0), "the other class has no gradient");
    for (name, loss) in [
        ("rpn_cls", losses.rpn_cls),
        ("rpn_box", losses.rpn_box),
        ("cls", losses.cls),
        ("bbox", losses.bbox),
        ("mask", losses.mask),
        ("total", losses.total()),
    ] {
        e.check_scalar(name, loss);
    }
    e.done();
}

#[test]
fn suppression_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("17-boxes.md", "nms");
    let (boxes, scores) = (boxes(&e.given("boxes")), e.vector("score").to_vec());
    e.check("IoU", &Array2::from_shape_fn((4, 4), |(a, b)| iou(boxes[a], boxes[b])));
    for (threshold, kept) in [("t", "kept"), ("t′", "kept′")] {
        let threshold = e.scalar(threshold);
        e.check(kept, &numbers(&nms(&boxes, &scores, None, threshold)));
    }
    e.done();
}

#[test]
fn average_precision_has_the_numbers_of_its_chapter() {
    let mut e = Example::read("17-boxes.md", "average precision");
    let (objects, scores, overlaps) = (e.scalar("objects"), e.vector("score"), e.vector("overlap"));
    let line = |at: usize, width: f64| [0.0, 10.0 * at as f64, width, 1.0];
    let object =
        |at: usize| Object { bbox: line(at, 100.0), class: 0, mask: None, crowd: false, area: 100.0 };
    let there: Vec<Object> = (0..20).take_while(|&at| (at as f64) < objects).map(object).collect();
    // Each overlap is with an object of its own; where it is 0 no object is.
    let mut free = 0..there.len();
    let found = scores.iter().zip(&overlaps).map(|(&score, &overlap)| {
        let bbox = match overlap {
            0.0 => line(50, 100.0),
            _ => line(free.next().expect("an object for each"), 100.0 * overlap),
        };
        Detection { bbox, score, class: 0, mask: None }
    });
    let found: Vec<Detection> = found.collect();
    let of_first = |n: usize| {
        let image = ImageResult { id: 0, objects: there.clone(), detections: found[..n].to_vec() };
        evaluate(&[image], 1, Overlap::Boxes, &Protocol::default())
    };
    let recall: Vec<f64> = (1..=found.len()).map(|n| of_first(n).recall[(0, 0, 0, 2)]).collect();
    let mut before = 0.0;
    let right = recall.iter().map(|&recall| objects * (recall - std::mem::replace(&mut before, recall)));
    e.check("right", &right.collect::<Array1<f64>>());
    let precision: Array1<f64> = recall.iter().zip(1..).map(|(r, n)| r * objects / f64::from(n)).collect();
    e.check("precision", &precision);
    let from = |n: usize| precision.iter().skip(n).fold(0.0, |most: f64, &p| most.max(p));
    e.check("falling", &(0..found.len()).map(from).collect::<Array1<f64>>());
    e.check("recall", &Array1::from(recall));

    let all = of_first(found.len());
    let at_100 = all.precision.slice(s![.., .., 0, 0, 2]);
    let read = |wanted: &f64| {
        let place = (0..101).find(|&r| r as f64 >= 100.0 * wanted);
        at_100[(0, place.expect("0 to 1"))]
    };
    let wanted = e.vector("wanted");
    e.check("read", &wanted.iter().map(read).collect::<Array1<f64>>());
    e.check("each", &at_100.mean_axis(Axis(1)).expect("101 recalls"));
    for (name, figure) in ["AP", "AP50", "AP75"].into_iter().zip(all.figures()) {
        e.check_scalar(name, figure.expect("there are objects"));
    }
    e.done();
}
