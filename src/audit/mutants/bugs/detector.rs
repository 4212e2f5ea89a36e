//! Bugs of a detection network: what flows where, which weights, whose class, over what a sum is taken.

use super::{Bug, bug, twice};

const CONV_NORM: &str = "layers/conv_norm.rs";

const FPN: &str = "models/detect/fpn.rs";
const MERGE: &str = "cx.add_assign(&mut merged[k], &doubled);";
const FLOW: &str = "cx.add_assign(&mut dx, &flowed);";
const P6: &str = "cx.add_assign(&mut dmaps[LEVELS - 1], &through);";

const RPN: &str = "models/detect/rpn_head.rs";
const BOTH: &str = "cx.add_assign(&mut dx, &other);";

const FLATTEN: &str = "models/detect/flatten.rs";
const FLAT: &str = "transpose(x, flat, pixels * channels, channels, cx);";

const BOX: &str = "models/detect/box_head.rs";
const OTHER: &str = "cx.add_assign(&mut dhidden, &other);";

const CONVS: &str = "models/detect/region_convs.rs";
const MASK: &str = "models/detect/mask_head.rs";

const TABLE: &str = "models/detect/anchor_table.rs";
const NUMBER: &str = "(map, image * count + anchor - first)";

const RPN_LOSS: &str = "models/detect/rpn_loss.rs";
const ANCHOR_TARGET: &str = "encode(anchors.boxes[sample.anchor], object, RPN_WEIGHTS)";
const LABEL: &str = "sample.object.is_some()";

const LOSSES: &str = "models/detect/region_losses.rs";
const CLASS: &str = "region.object.as_ref().map_or(background, |object| object.class)";
const FOUR: &str = "s![r, 4 * object.class..4 * object.class + 4]";
const BOX_TARGET: &str = "encode(region.bbox, object.bbox, BOX_WEIGHTS)";
const CHANNEL: &str = "s![f * cells..(f + 1) * cells, object.class]";
const PIXELS: &str = "1.0 / (denominator * cells) as f64";
const SLOPE: &str = "F::of(1.0 / denominator as f64)";

const READER: &str = "models/detect/region_reader.rs";

const HEADS: &str = "models/detect/region_heads.rs";
const OF_REGIONS: &str = "box_losses(&output, &regions, of.regions, losses, cx)";
const OF_OBJECTS: &str = "mask_loss(&logits, &objects, of.foreground, losses, cx)";

const MODEL: &str = "models/detect/detector.rs";

const STEP: &str = "models/detect/step.rs";
const QUOTA: &str = "1.0 / of.anchors as f64";
const REGIONS: &str = "self.heads.backward(losses.heads, &mut dmaps, &mut grad.heads, cx);";

const INFER: &str = "models/detect/infer.rs";
const MASK_CLASS: &str = "found.iter().map(|detection| detection.class).collect()";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(
        CONV_NORM,
        "backward: norm forgotten",
        "self.norm.backward(cache.norm, dy, &mut grad.norm, cx)",
        "{ cache.norm.recycle(cx); dy.to_owned() }",
    ),
    twice(
        CONV_NORM,
        "forward and backward: norm forgotten",
        [
            ("self.norm.forward(x, cx)", "{ let y = x.clone(); (y, self.norm.forward(x, cx).1) }"),
            (
                "self.norm.backward(cache.norm, dy, &mut grad.norm, cx)",
                "{ cache.norm.recycle(cx); dy.to_owned() }",
            ),
        ],
    ),
    bug(FPN, "forward: coarser map not added", MERGE, "();"),
    bug(FPN, "gradient of the coarser map forgotten", FLOW, "();"),
    twice(FPN, "forward and backward: coarser map not added", [(MERGE, "();"), (FLOW, "();")]),
    bug(FPN, "gradient through p6 forgotten", P6, "();"),
    bug(FPN, "gradient through p6 replaces that of p5", P6, "dmaps[LEVELS - 1].assign(&through);"),
    twice(
        FPN,
        "forward and backward: p6 twice as large",
        [
            (
                "maps.push(self.every_second.forward(maps[LEVELS - 1].view(), cx));",
                "let p6 = self.every_second.forward(maps[LEVELS - 1].view(), cx); maps.push(p6 * F::of(2.0));",
            ),
            (P6, "{ let twice = &through * F::of(2.0); cx.add_assign(&mut dmaps[LEVELS - 1], &twice); }"),
        ],
    ),
    bug(
        FPN,
        "forward: outputs by one level's weights",
        "layer.forward(x, self.sizes[k], cx)",
        "self.output[0].forward(x, self.sizes[k], cx)",
    ),
    bug(FPN, "grad of the laterals all to the first", "&mut grad.lateral[k]", "&mut grad.lateral[0]"),
    bug(
        RPN,
        "forward: first convolution for the second, too",
        "layer.forward(x, size, cx)",
        "self.conv[0].forward(x, size, cx)",
    ),
    bug(RPN, "gradient of the deltas forgotten", BOTH, "();"),
    bug(
        RPN,
        "grad of one map only, as if each had a head of its own",
        "self.conv[i].backward(conv, dmapped.view(), &mut grad.conv[i], cx)",
        "{ let mut own = self.conv[i].clone(); \
           let grad = if level == FINEST { &mut grad.conv[i] } else { &mut own }; \
           self.conv[i].backward(conv, dmapped.view(), grad, cx) }",
    ),
    bug(
        RPN,
        "backward: ReLU forgotten",
        "Relu.backward(relu, dx.view(), &mut Relu, cx)",
        "{ relu.recycle(cx); dx.clone() }",
    ),
    bug(
        FLATTEN,
        "forward: pixel by pixel",
        FLAT,
        "transpose(x, flat, pixels * channels, pixels * channels, cx);",
    ),
    twice(
        FLATTEN,
        "forward and backward: pixel by pixel",
        [
            (FLAT, "transpose(x, flat, pixels * channels, pixels * channels, cx);"),
            ("transpose(dy, maps, numbers, pixels, cx);", "transpose(dy, maps, numbers, numbers, cx);"),
        ],
    ),
    bug(BOX, "gradient of the deltas forgotten", OTHER, "();"),
    bug(
        BOX,
        "backward: ReLU forgotten",
        "Relu.backward(cache.relu, dhidden.view(), &mut Relu, cx)",
        "{ cache.relu.recycle(cx); dhidden.clone() }",
    ),
    bug(
        BOX,
        "gradient of the classes ends at their layer",
        "self.score.backward(cache.score, doutput.scores.view(), &mut grad.score, cx)",
        "self.score.backward(cache.score, doutput.scores.view(), &mut grad.score, cx) * F::zero()",
    ),
    bug(
        CONVS,
        "forward: the first one's weights in every convolution",
        "layer.forward(x, [self.side; 2], cx)",
        "self.layers[0].forward(x, [self.side; 2], cx)",
    ),
    bug(
        CONVS,
        "backward: the first one's weights in every convolution",
        "layer.backward(cache, dx.view(), grad, cx)",
        "self.layers[0].backward(cache, dx.view(), grad, cx)",
    ),
    bug(
        MASK,
        "backward: ReLU forgotten",
        "Relu.backward(cache.relu, dx.view(), &mut Relu, cx)",
        "{ cache.relu.recycle(cx); dx.clone() }",
    ),
    twice(
        MASK,
        "forward and backward: doubled without ReLU",
        [
            ("Relu.forward(x, cx)", "{ let y = x.clone(); (y, Relu.forward(x, cx).1) }"),
            ("Relu.backward(cache.relu, dx.view(), &mut Relu, cx)", "{ cache.relu.recycle(cx); dx.clone() }"),
        ],
    ),
    bug(TABLE, "numbers of the first image for all", NUMBER, "(map, anchor - first + 0 * image * count)"),
    bug(
        TABLE,
        "anchors of a map counted from the first map on",
        NUMBER,
        "(map, image * count + anchor.min(count - 1))",
    ),
    bug(
        TABLE,
        "parts of images: deltas counted as logits",
        "&map[image * anchors * numbers..][..anchors * numbers]",
        "&map[image * anchors..][..anchors * numbers]",
    ),
    bug(RPN_LOSS, "labels inverted", LABEL, "sample.object.is_none()"),
    bug(
        RPN_LOSS,
        "weights of regions on anchors",
        ANCHOR_TARGET,
        "encode(anchors.boxes[sample.anchor], object, super::boxes::BOX_WEIGHTS)",
    ),
    bug(
        RPN_LOSS,
        "target: from the object to the anchor",
        ANCHOR_TARGET,
        "encode(object, anchors.boxes[sample.anchor], RPN_WEIGHTS)",
    ),
    bug(
        RPN_LOSS,
        "gradient without its denominator",
        "bce(&[logit], &[label], F::of(scale))",
        "bce(&[logit], &[label], F::one())",
    ),
    bug(
        RPN_LOSS,
        "loss without its denominator",
        "losses.rpn_box += scale * loss;",
        "losses.rpn_box += loss;",
    ),
    bug(
        RPN_LOSS,
        "smooth L1 with beta 1/9",
        "smooth_l1(deltas, &target, 0.0, F::of(scale))",
        "smooth_l1(deltas, &target, 1.0 / 9.0, F::of(scale))",
    ),
    bug(
        LOSSES,
        "background first",
        CLASS,
        "region.object.as_ref().map_or(0 * background, |object| object.class + 1)",
    ),
    bug(LOSSES, "deltas for all classes alike", FOUR, "s![r, 0..4 + 0 * object.class]"),
    bug(
        LOSSES,
        "deltas coordinate by coordinate",
        FOUR,
        "s![r, object.class..object.class + 3 * background + 1; background.cast_signed()]",
    ),
    bug(
        LOSSES,
        "weights of anchors on regions",
        BOX_TARGET,
        "encode(region.bbox, object.bbox, super::boxes::RPN_WEIGHTS)",
    ),
    bug(
        LOSSES,
        "target: from the object to the region",
        BOX_TARGET,
        "encode(object.bbox, region.bbox, BOX_WEIGHTS)",
    ),
    twice(
        LOSSES,
        "forward and backward: boxes over the regions that have an object",
        [
            (SLOPE, "F::of(1.0 / regions.iter().filter(|region| region.object.is_some()).count() as f64)"),
            (
                "losses.bbox += loss / denominator as f64;",
                "losses.bbox += loss / regions.iter().filter(|region| region.object.is_some()).count() as f64;",
            ),
        ],
    ),
    bug(
        LOSSES,
        "gradient of classes over the chunk's regions",
        "cross_entropy::backward(&output.scores, &targets, denominator)",
        "cross_entropy::backward(&output.scores, &targets, regions.len())",
    ),
    bug(
        LOSSES,
        "mask of the first class for all",
        CHANNEL,
        "s![f * cells..(f + 1) * cells, 0 * object.class]",
    ),
    bug(LOSSES, "mask of the first region for all", CHANNEL, "s![0 * f..cells, object.class]"),
    bug(LOSSES, "masks over objects, not over their pixels", PIXELS, "1.0 / denominator as f64"),
    bug(LOSSES, "masks over the chunk's objects", PIXELS, "1.0 / (objects.len() * cells) as f64"),
    bug(LOSSES, "masks over all classes", PIXELS, "1.0 / (denominator * cells * logits.ncols()) as f64"),
    bug(
        READER,
        "levels counted from 0",
        "self.rule.level(bbox) - self.rule.min_level",
        "self.rule.level(bbox) % LEVELS",
    ),
    bug(
        READER,
        "every region from the finest map",
        "self.rule.level(bbox) - self.rule.min_level",
        "0 * self.rule.min_level",
    ),
    bug(READER, "scale of another map", "1.0 / STRIDES[k] as f64", "1.0 / STRIDES[LEVELS - 1 - k] as f64"),
    bug(
        HEADS,
        "boxes over the regions with an object",
        OF_REGIONS,
        "box_losses(&output, &regions, of.foreground, losses, cx)",
    ),
    bug(
        HEADS,
        "boxes over the chunk's regions",
        OF_REGIONS,
        "box_losses(&output, &regions, regions.len(), losses, cx)",
    ),
    bug(HEADS, "masks over all regions", OF_OBJECTS, "mask_loss(&logits, &objects, of.regions, losses, cx)"),
    bug(
        HEADS,
        "regions of all images read from the first",
        "images.resize(images.len() + samples.regions.len(), image);",
        "images.resize(images.len() + samples.regions.len(), 0 * image);",
    ),
    bug(
        HEADS,
        "masks of the objects' boxes, not of the regions'",
        "Some(((image, region.bbox), object))",
        "Some(((image, object.bbox), object))",
    ),
    bug(
        MODEL,
        "every level from the last block",
        "tokens.push(encoded.x);",
        "tokens.push(encoded.x); let last = tokens[LEVELS - 1].clone(); \
         tokens.iter_mut().for_each(|tokens| tokens.assign(&last));",
    ),
    bug(
        STEP,
        "anchors over the number sampled",
        QUOTA,
        "1.0 / samples.iter().map(|image| image.anchors.len()).sum::<usize>() as f64",
    ),
    bug(STEP, "anchors over the images", QUOTA, "1.0 / samples.len() as f64"),
    bug(
        STEP,
        "gradient of the regions ends at their heads",
        REGIONS,
        "let mut none = dmaps.clone(); self.heads.backward(losses.heads, &mut none, &mut grad.heads, cx);",
    ),
    bug(
        STEP,
        "regions' gradient replaces that of the anchors",
        REGIONS,
        "dmaps.iter_mut().for_each(|d| d.fill(F::zero())); self.heads.backward(losses.heads, &mut dmaps, &mut grad.heads, cx);",
    ),
    bug(
        INFER,
        "masks of the first class",
        MASK_CLASS,
        "found.iter().map(|detection| 0 * detection.class).collect()",
    ),
    bug(
        INFER,
        "regions of all images read from the first",
        "self.detect(&forward.maps, image, &regions, cx)",
        "self.detect(&forward.maps, 0 * image, &regions, cx)",
    ),
];
