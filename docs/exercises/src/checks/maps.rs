//! The check of the 3 × 3 convolution.

use super::{check, filled, random};
use crate::grader::{Measured, Trial, measured};
use ndarray::Array3;
use vit_mae::layers::Conv3x3;

type Backward = fn(&Conv3x3<f64>, &Array3<f64>, &Array3<f64>, &mut Conv3x3<f64>) -> Array3<f64>;

/// `conv3x3::backward` of one map that is not square.
pub fn conv3x3(trial: Trial, backward: Backward) -> Vec<Measured> {
    let (height, width) = (3, 4);
    let x: Array3<f64> = random((height, width, 2));
    measured(&check().layer(
        &filled(Conv3x3::new(2, 3)),
        &x,
        |layer, x, cx| {
            let rows = x.to_shape((height * width, 2)).expect("the same elements").to_owned();
            let y = layer.forward(rows, [height, width], cx).0;
            (y.into_shape_with_order((height, width, 3)).expect("the same elements"), x.clone())
        },
        |layer, x, dy, grad, _| trial.run(grad, x.shape(), |grad| backward(layer, &x, dy, grad)),
    ))
}
