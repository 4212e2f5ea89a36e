//! What a detection network costs: parameters, floating-point operations, bytes.

use super::config::DetectorConfig;
use super::region_convs::CONVS;
use crate::models::pyramid::cost::{
    Product, adapter_parameters, adapters, conv_parameters as conv, conv3x3, flops, kept, passing, product,
};
use crate::models::pyramid::levels::LEVELS;
use crate::models::vit::stack::{linear_parameters, norm_parameters};

impl DetectorConfig {
    /// Parameters of the model.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (d, c, k) = (self.embed_dim, self.channels, self.num_classes);
        let fpn = LEVELS * (conv(1, d, c) + conv(9, c, c));
        let rpn = 2 * (9 * c * c + c) + linear_parameters(c, 5 * self.anchor_ratios.len());
        let convs = CONVS * conv(9, c, c);
        let boxes = convs
            + linear_parameters(c * self.box_size * self.box_size, self.fc_dim)
            + linear_parameters(self.fc_dim, 5 * k + 1);
        let masks = convs + 4 * c * c + c + linear_parameters(c, k);
        // The trunk's figure has a norm behind the last block, which is not there.
        let trunk = self.vit().parameters() - norm_parameters(d);
        trunk
            + adapter_parameters(self.patch_size, d)
            + fpn
            + rpn
            + boxes
            + if self.mask_head { masks } else { 0 }
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step, everything
    /// trained and all samples there: the backward pass of a product costs two of its size.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let vit = self.vit();
        let regions = self.roi_batch_per_image;
        vit.flops_per_image(vit.tokens()) + 3.0 * flops(&self.products(regions, self.foreground()))
    }

    /// As [`DetectorConfig::flops_per_image`], of one image in evaluation with all proposals and detections there.
    #[must_use]
    pub fn inference_flops_per_image(&self) -> f64 {
        let vit = self.vit();
        vit.flops_per_image(vit.tokens()) / 3.0 + flops(&self.products(self.post_nms, self.max_detections))
    }

    /// Bytes of the activations of one image in front of the heads, in f32, which are kept while the whole batch is sampled: the
    /// trunk's with all blocks trained, and of every layer on a map its input, what its norm keeps and ReLU's slope.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.vit().activation_bytes(self.depth) + size_of::<f32>() * kept(&self.products(0, 0))
    }

    /// Bytes of the activations of one image's heads, in f32, until their backward pass, if its quotas of regions and of objects are
    /// full; and of what passes through the largest layer.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        let products = self.products(self.roi_batch_per_image, self.foreground());
        size_of::<f32>() * (kept(&products) - kept(&self.products(0, 0)) + passing(&products))
    }

    /// Bytes of the activations of one image on its way through, in f32, when nothing is kept for a backward pass.
    #[must_use]
    pub fn inference_bytes(&self) -> usize {
        let kept = kept(&self.products(self.post_nms, self.max_detections));
        self.vit().inference_bytes() + size_of::<f32>() * kept
    }

    /// The most regions of an image that have an object.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the quota")]
    fn foreground(&self) -> usize {
        (self.roi_positive_fraction * self.roi_batch_per_image as f64) as usize
    }

    /// Behind the trunk, for one image, so many regions for the box head and for the mask head.
    fn products(&self, regions: usize, masks: usize) -> Vec<Product> {
        let (d, c, k) = (self.embed_dim, self.channels, self.num_classes);
        let patches = self.vit().num_patches();
        let pixels = self.map_sizes().map(|[height, width]| height * width);
        let mut products: Vec<_> = adapters(self.patch_size, patches, d).collect();
        products.extend(pixels[..LEVELS].iter().flat_map(|&rows| [product(rows, d, c), conv3x3(rows, c, c)]));
        products.extend(
            pixels
                .iter()
                .flat_map(|&rows| [conv3x3(2 * rows, c, c), product(rows, c, 5 * self.anchor_ratios.len())]),
        );
        let cells = self.box_size * self.box_size;
        products.extend([conv3x3(regions * cells, c, c); CONVS]);
        products.extend([product(regions, c * cells, self.fc_dim), product(regions, self.fc_dim, 5 * k + 1)]);
        if self.mask_head {
            let rows = masks * self.mask_size * self.mask_size;
            products.extend([conv3x3(rows, c, c); CONVS]);
            products.extend([product(rows, c, 4 * c), product(4 * rows, c, k)]);
        }
        products
    }
}
