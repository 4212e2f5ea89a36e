//! Bugs of layers on maps and of semantic segmentation: borders, taps, half pixels, who gets a gradient, denominators.

use super::{Bug, bug, twice};

const PADDING: &str = "layers/padding.rs";

const CONV: &str = "layers/conv3x3.rs";
const TURNED: &str = "8 - row / d_out";
const ADD: &str = "*dw += row[t * (columns / 9) + c];";

const BIASED: &str = "layers/biased_conv3x3.rs";

const TRANSPOSE: &str = "layers/conv_transpose2x2.rs";
const FOUR: &str = "ab / 2 * 2 * width + 2 * j + ab % 2";
const CHANNEL: &str = "*y = four[ab] + bias;";

const POOL: &str = "layers/max_pool.rs";
const WINNER: &str = "*dx = if winner == number { dy } else { F::zero() };";
const LARGER: &str = "if x > *y || x.is_nan()";

const RESIZE: &str = "layers/resize.rs";
const PLACE: &str = "((o as f64 + 0.5) * n as f64 / m as f64 - 0.5).max(0.0)";
const NEXT: &str = "(low + 1).min(n - 1)";
const CELL: &str = "(o * n / m, ((o + 1) * n).div_ceil(m))";

const SPARSE: &str = "layers/sparse_map.rs";
const CONCAT: &str = "layers/concat.rs";

const LEVELS: &str = "models/pyramid/levels.rs";
const TAPS: &str = "(quarter * depth / 4).saturating_sub(1)";
const TOKENS: &str = "models/pyramid/tokens.rs";
const ADAPTER: &str = "models/pyramid/adapter.rs";
const SLOPE: &str = "cx.rows(row_blocks::of_mut(&mut dx).zip(row_blocks::of(&slope)), Multiply);";

const POOLING: &str = "models/segment/pooling.rs";
const THROUGH: &str = "cx.add_assign(&mut dx, &through);";

const DECODE: &str = "models/segment/decode.rs";
const SUM: &str = "cx.add_assign(&mut topdown[k], &resized);";
const BELOW: &str = "cx.add_assign(&mut dx, &flowed);";
const BOTTLENECK: &str = "cx.add_assign(&mut dbottleneck, &flowed);";

const HEAD: &str = "models/segment/head.rs";

const LOSS: &str = "models/segment/pixel_loss.rs";
const CLASS: &str = "(label != IGNORED).then_some(usize::from(label))";

const WHOLE: &str = "models/vit/whole.rs";

const MODEL: &str = "models/segment/segmenter.rs";
const SCALE: &str = "1.0 / labelled.max(1) as f64";

/// All of them.
pub(super) const BUGS: &[Bug] = &[
    bug(PADDING, "no line of zeros between images", "between.fill(F::zero());", "();"),
    bug(PADDING, "the zero behind a line is left as it was", "zero.fill(F::zero());", "();"),
    bug(PADDING, "zeros before the first pixel are left as they were", "lead.fill(F::zero());", "();"),
    bug(
        PADDING,
        "the border repeats the last pixel of a line",
        "zero.fill(F::zero());",
        "zero.copy_from_slice(&inside[inside.len() - channels..]);",
    ),
    bug(CONV, "dx: kernel not turned", TURNED, "row / d_out"),
    bug(CONV, "dx: kernel turned in one direction only", TURNED, "row / d_out / 3 * 3 + 2 - row / d_out % 3"),
    bug(
        CONV,
        "forward: kernel transposed, rows taken for columns",
        "row[t * d_in + c] = w;",
        "row[(t % 3 * 3 + t / 3) * d_in + c] = w;",
    ),
    twice(
        CONV,
        "forward and backward: kernel transposed, rows taken for columns",
        [
            ("row[t * d_in + c] = w;", "row[(t % 3 * 3 + t / 3) * d_in + c] = w;"),
            (ADD, "*dw += row[(t % 3 * 3 + t / 3) * (columns / 9) + c];"),
        ],
    ),
    twice(
        CONV,
        "forward and backward: true convolution, taps flipped",
        [
            ("row[t * d_in + c] = w;", "row[(8 - t) * d_in + c] = w;"),
            (ADD, "*dw += row[(8 - t) * (columns / 9) + c];"),
        ],
    ),
    bug(CONV, "dW = instead of +=", ADD, "*dw = row[t * (columns / 9) + c];"),
    bug(
        CONV,
        "only the last line of the kernel",
        "cx.gemm(F::one(), padding.neighbours(padded, a), kernel, before, wide.view_mut());",
        "cx.gemm(F::one(), padding.neighbours(padded, a), kernel, before - before, wide.view_mut());",
    ),
    bug(
        CONV,
        "dW from dy of neighbouring lines, too",
        "padding.inside(&dy_padded)",
        "padding.neighbours(&dy_padded, 2).slice_move(s![.., ..dy.ncols()])",
    ),
    bug(
        BIASED,
        "db forgotten",
        r#"cx.add_column_sums(&dy, grad.bias.as_slice_mut().expect("a vector is contiguous"));"#,
        "();",
    ),
    bug(BIASED, "forward: bias forgotten", "*y += b;", "();"),
    bug(
        TRANSPOSE,
        "forward: rows of the four taken for columns",
        CHANNEL,
        "*y = four[ab % 2 * 2 + ab / 2] + bias;",
    ),
    bug(
        TRANSPOSE,
        "forward and backward: rows of the four taken for columns",
        FOUR,
        "ab % 2 * 2 * width + 2 * j + ab / 2",
    ),
    bug(
        TRANSPOSE,
        "dW = instead of +=",
        "cx.gemm(F::one(), x.t(), dfours.view(), F::one(), dweight);",
        "cx.gemm(F::one(), x.t(), dfours.view(), F::zero(), dweight);",
    ),
    bug(
        TRANSPOSE,
        "bias on one of the four pixels",
        CHANNEL,
        "*y = if ab == 0 { four[ab] + bias } else { four[ab] };",
    ),
    bug(POOL, "gradient to the last of equal ones", LARGER, "if x >= *y"),
    bug(POOL, "forward: the smallest", LARGER, "if x < *y"),
    bug(POOL, "gradient to every pixel of the window", WINNER, "*dx = dy;"),
    bug(POOL, "gradient shared by the window", WINNER, "*dx = dy / F::of((s * s) as f64);"),
    bug(RESIZE, "bilinear: missing half-pixel shift", PLACE, "(o as f64 * n as f64 / m as f64).max(0.0)"),
    bug(RESIZE, "bilinear: align_corners", PLACE, "o as f64 * (n - 1) as f64 / (m.max(2) - 1) as f64"),
    bug(
        RESIZE,
        "bilinear: place not clamped at the border",
        PLACE,
        "((o as f64 + 0.5) * n as f64 / m as f64 - 0.5).abs()",
    ),
    bug(RESIZE, "bilinear: neighbour beyond the last pixel is the first", NEXT, "(low + 1) % n"),
    bug(
        RESIZE,
        "bilinear: weights the wrong way round",
        "[(low, 1.0 - w), (high, w)]",
        "[(low, w), (high, 1.0 - w)]",
    ),
    bug(RESIZE, "average: floor of a cell's end", CELL, "(o * n / m, ((o + 1) * n / m).max(o * n / m + 1))"),
    bug(
        RESIZE,
        "average: ceiling of a cell's start",
        CELL,
        "((o * n).div_ceil(m).min(n - 1), ((o + 1) * n).div_ceil(m))",
    ),
    bug(RESIZE, "average: divisor of an even division", "1.0 / (end - start) as f64", "m as f64 / n as f64"),
    bug(
        RESIZE,
        "adjoint: the other map's forward",
        "self.adjoint.apply(dy, cx)",
        "{ let mut dx = self.adjoint.apply(dy, cx); let last = dx.nrows() - 1; dx.row_mut(last).fill(F::zero()); dx }",
    ),
    bug(SPARSE, "columns before rows", "a.input * width + b.input", "b.input * self.inputs + a.input"),
    bug(SPARSE, "adjoint: terms of an input overwrite each other", "free[term.input] += 1;", "();"),
    bug(CONCAT, "backward: parts from the first column on", "first += columns;", "();"),
    bug(LEVELS, "taps shifted by one block", TAPS, "(quarter * depth / 4).min(depth - 1)"),
    bug(
        TOKENS,
        "class token not removed, the last patch is",
        "map.copy_from_slice(&image[d..])",
        "map.copy_from_slice(&image[..image.len() - d])",
    ),
    bug(TOKENS, "gradient of the class token left as it was", "class.fill(F::zero());", "();"),
    bug(ADAPTER, "GELU′ forgotten", SLOPE, "();"),
    bug(
        ADAPTER,
        "forward: second doubling at the first one's size",
        "layers.up2.forward(x, size.map(|n| 2 * n), cx)",
        "layers.up2.forward(x, [4 * size[0], size[1]], cx)",
    ),
    bug(POOLING, "gradient through the averages forgotten", THROUGH, "();"),
    bug(
        POOLING,
        "only the first average has a gradient",
        THROUGH,
        "(i == 0).then(|| cx.add_assign(&mut dx, &through));",
    ),
    bug(DECODE, "forward: top-down sum forgotten", SUM, "();"),
    bug(DECODE, "top-down gradient to the coarser levels forgotten", BELOW, "();"),
    bug(DECODE, "gradient of the bottleneck through the top-down way forgotten", BOTTLENECK, "();"),
    bug(
        DECODE,
        "forward: bottleneck refined by the last fpn convolution",
        "parts.push(self.to_finest(FINER, bottleneck, cx));",
        "let refined = self.fpn[FINER - 1].forward(bottleneck, self.sizes[FINER], cx).0; \
         parts.push(self.to_finest(FINER, refined, cx));",
    ),
    bug(
        DECODE,
        "forward: parts beside each other in reverse",
        "concat(&parts.iter().collect::<Vec<_>>(), cx)",
        "concat(&parts.iter().rev().collect::<Vec<_>>(), cx)",
    ),
    bug(
        DECODE,
        "forward: lateral maps by another level's weights",
        "layer.forward(level, self.sizes[k], cx)",
        "self.lateral[FINER - 1 - k].forward(level, self.sizes[k], cx)",
    ),
    bug(
        HEAD,
        "auxiliary gradient replaces the level's",
        "cx.add_assign(&mut dlevels[AUXILIARY_LEVEL], &dlevel);",
        "dlevels[AUXILIARY_LEVEL].assign(&dlevel);",
    ),
    bug(
        HEAD,
        "auxiliary gradient ends at its head",
        "cx.add_assign(&mut dlevels[AUXILIARY_LEVEL], &dlevel);",
        "();",
    ),
    bug(LOSS, "ignored pixels counted as the first class", CLASS, "Some(usize::from(label % IGNORED))"),
    bug(
        LOSS,
        "the first class ignored, too",
        CLASS,
        "(label != IGNORED && label > 0).then_some(usize::from(label))",
    ),
    bug(LOSS, "softmax without its sum in the gradient", "self.scale / total", "self.scale"),
    bug(LOSS, "gradient without the one-hot row", "z[label] -= self.scale;", "();"),
    bug(LOSS, "scale forgotten at the label", "z[label] -= self.scale;", "z[label] -= F::one();"),
    bug(
        MODEL,
        "mean over the chunk's images, not the batch's labelled pixels",
        SCALE,
        "1.0 / labels.len().max(1) as f64",
    ),
    bug(
        MODEL,
        "mean over all pixels, ignored ones too",
        SCALE,
        "1.0 / (labels.len() * self.config.img_size[0] * self.config.img_size[1]) as f64",
    ),
    bug(
        MODEL,
        "mean over the chunk's labelled pixels, not the batch's",
        SCALE,
        "1.0 / labels.iter().flat_map(|map| map.iter()).filter(|&&label| label != super::pixel_loss::IGNORED).count() as f64",
    ),
    bug(MODEL, "aux weight missing in backward", "F::of(self.config.aux_weight * scale)", "F::of(scale)"),
    bug(
        MODEL,
        "aux weight missing in the loss",
        "self.main + config.aux_weight * self.auxiliary",
        "self.main + self.auxiliary",
    ),
    bug(MODEL, "auxiliary loss forgotten in the loss", "losses.auxiliary = sum;", "();"),
    bug(WHOLE, "forward: positions forgotten", "self.add_positions(&mut patches);", "();"),
    bug(
        WHOLE,
        "gradient of the levels below the last forgotten",
        "self.encode_backward(cache.blocks, dx, &dtaps, grad, cx)",
        "{ let none: Vec<_> = dtaps.iter().map(|d| d * F::zero()).collect(); \
           self.encode_backward(cache.blocks, dx, &none, grad, cx) }",
    ),
];
