//! Results of images on their way between ranks.

use super::{Detection, ImageResult, Object};
use crate::data::rle::Rle;
use crate::train::told::Told;

impl Told for ImageResult {
    fn tell(&self, to: &mut Vec<f64>) {
        // In two halves, each of which a double holds exactly.
        [self.id >> 32, self.id & 0xffff_ffff].map(|half| half as f64).tell(to);
        self.objects.tell(to);
        self.detections.tell(to);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "they are halves of a number"
    )]
    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let [high, low] = <[f64; 2]>::told(from).map(|half| half as u64);
        Self { id: high << 32 | low, objects: Vec::told(from), detections: Vec::told(from) }
    }
}

impl Told for Object {
    fn tell(&self, to: &mut Vec<f64>) {
        self.bbox.tell(to);
        (self.class, (usize::from(self.crowd), self.area)).tell(to);
        tell_mask(self.mask.as_ref(), to);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let (bbox, (class, (crowd, area))) = <([f64; 4], (usize, (usize, f64)))>::told(from);
        Self { bbox, class, crowd: crowd == 1, area, mask: told_mask(from) }
    }
}

impl Told for Detection {
    fn tell(&self, to: &mut Vec<f64>) {
        (self.bbox, (self.score, self.class)).tell(to);
        tell_mask(self.mask.as_ref(), to);
    }

    fn told(from: &mut dyn Iterator<Item = f64>) -> Self {
        let (bbox, (score, class)) = <([f64; 4], (f64, usize))>::told(from);
        Self { bbox, score, class, mask: told_mask(from) }
    }
}

/// A mask by its runs; none has no run.
fn tell_mask(mask: Option<&Rle>, to: &mut Vec<f64>) {
    let counts = mask.map_or(&[][..], Rle::counts);
    counts.iter().map(|&count| count as usize).collect::<Vec<_>>().tell(to);
    mask.map_or([0, 0], Rle::size).tell(to);
}

fn told_mask(from: &mut dyn Iterator<Item = f64>) -> Option<Rle> {
    let (counts, size) = <(Vec<usize>, [usize; 2])>::told(from);
    let counts: Vec<u32> = counts.into_iter().map(|count| u32::try_from(count).unwrap_or(u32::MAX)).collect();
    Some(counts).filter(|counts| !counts.is_empty()).and_then(|counts| Rle::new(&counts, size).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn results_arrive_as_they_were_told() {
        let mask = Rle::of_mask(arr2(&[[true, false, true], [true, true, false]]).view());
        let [bbox, other] = [[0.1, 2.0, 3.0, 1.0 / 3.0], [5.0, 6.0, 7.0, 8.0]];
        let objects = vec![
            Object { bbox, class: 3, mask: Some(mask.clone()), crowd: true, area: 0.7 },
            Object { bbox: other, class: 0, mask: None, crowd: false, area: 12.0 },
        ];
        let detections = vec![
            Detection { bbox: other, score: 0.123_456_789, class: 1, mask: None },
            Detection { bbox, score: 1.0, class: 2, mask: Some(mask) },
        ];
        let results = vec![
            ImageResult { id: u64::MAX - 5, objects, detections },
            ImageResult { id: 7, objects: Vec::new(), detections: Vec::new() },
        ];
        let mut numbers = Vec::new();
        results.tell(&mut numbers);
        assert_eq!(Vec::<ImageResult>::told(&mut numbers.into_iter()), results);
    }
}
