//! Boxes: area, overlap, clipping, and the four numbers that say how to move one box to another.

use crate::base::Real;

/// `[x1, y1, x2, y2]` in pixels of the image: edges, not centres, so a box that ends with column 9 has `x2 = 10`.
pub type BBox<F> = [F; 4];

/// With what the deltas of anchors are multiplied: x, y, width, height.
pub const RPN_WEIGHTS: [f64; 4] = [1.0, 1.0, 1.0, 1.0];

/// With what the deltas of regions are multiplied, which brings their standard deviations near 1.
pub const BOX_WEIGHTS: [f64; 4] = [10.0, 10.0, 5.0, 5.0];

/// The most by which one delta may enlarge a side: to a region of 16 pixels it gives 1000. Without a limit, one wild delta
/// would overflow.
const MOST_ENLARGED: f64 = 1000.0 / 16.0;

/// `(x2 − x1)(y2 − y1)`.
#[must_use]
pub fn area<F: Real>([x1, y1, x2, y2]: BBox<F>) -> F {
    (x2 - x1) * (y2 - y1)
}

/// Intersection over union; 0 where the intersection is 0, also of boxes without an area.
#[must_use]
pub fn iou<F: Real>(a: BBox<F>, b: BBox<F>) -> F {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(F::zero());
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(F::zero());
    let intersection = width * height;
    if intersection > F::zero() { intersection / (area(a) + area(b) - intersection) } else { F::zero() }
}

/// `x` into `[0, W]`, `y` into `[0, H]`; `size = [H, W]`.
#[must_use]
pub fn clip<F: Real>(bbox: BBox<F>, [height, width]: [usize; 2]) -> BBox<F> {
    let within = |x: F, side: usize| x.max(F::zero()).min(F::of(side as f64));
    let [x1, y1, x2, y2] = bbox;
    [within(x1, width), within(y1, height), within(x2, width), within(y2, height)]
}

/// The same box of an image that was resized from one `[H, W]` to another.
#[must_use]
pub fn resized<F: Real>([x1, y1, x2, y2]: BBox<F>, from: [usize; 2], to: [usize; 2]) -> BBox<F> {
    let [down, right] = [0, 1].map(|axis| F::of(to[axis] as f64 / from[axis] as f64));
    [x1 * right, y1 * down, x2 * right, y2 * down]
}

/// `[centre x, centre y, width, height]`.
fn centred<F: Real>([x1, y1, x2, y2]: BBox<F>) -> [F; 4] {
    let (width, height, half) = (x2 - x1, y2 - y1, F::of(0.5));
    [x1 + half * width, y1 + half * height, width, height]
}

/// The deltas that move `from` to `to` (Girshick et al. 2014, appendix C): the way between the centres in sides of `from`, and
/// the logarithms of the sides' ratios, `w · ((cx′ − cx) / bw, (cy′ − cy) / bh, ln(bw′ / bw), ln(bh′ / bh))`.
#[must_use]
pub fn encode<F: Real>(from: BBox<F>, to: BBox<F>, weights: [f64; 4]) -> [F; 4] {
    let ([cx, cy, width, height], to, w) = (centred(from), centred(to), weights.map(F::of));
    [
        w[0] * (to[0] - cx) / width,
        w[1] * (to[1] - cy) / height,
        w[2] * (to[2] / width).ln(),
        w[3] * (to[3] / height).ln(),
    ]
}

/// The box to which the deltas move `from`: the inverse of [`encode`], but that no side grows more than 62.5-fold.
#[must_use]
pub fn decode<F: Real>(deltas: [F; 4], from: BBox<F>, weights: [f64; 4]) -> BBox<F> {
    let ([cx, cy, width, height], limit) = (centred(from), F::of(MOST_ENLARGED.ln()));
    let [dx, dy, dw, dh] = [0, 1, 2, 3].map(|i| deltas[i] / F::of(weights[i]));
    let (cx, cy) = (cx + dx * width, cy + dy * height);
    let (width, height) = (dw.min(limit).exp() * width, dh.min(limit).exp() * height);
    let half = F::of(0.5);
    [cx - half * width, cy - half * height, cx + half * width, cy + half * height]
}
