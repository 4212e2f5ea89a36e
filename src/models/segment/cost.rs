//! What a segmentation network costs: parameters, floating-point operations, bytes.

use super::config::{HeadKind, SegmenterConfig};
use crate::models::pyramid::cost::{
    Product, adapter_parameters, adapters, conv_parameters as conv, conv3x3, flops, kept, passing, product,
};
use crate::models::pyramid::levels;
use crate::models::vit::stack::{linear_parameters, norm_parameters};

impl SegmenterConfig {
    /// Parameters of the model: the trunk's and the head's.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (d, c, a, k) = (self.embed_dim, self.channels, self.aux_channels, self.num_classes);
        let trunk = self.vit().parameters();
        if self.head == HeadKind::Linear {
            return trunk + linear_parameters(d, k);
        }
        let scales = self.pool_scales.len();
        let decode = (3 + scales) * conv(1, d, c)
            + conv(9, d + scales * c, c)
            + 3 * conv(9, c, c)
            + conv(9, 4 * c, c)
            + linear_parameters(c, k);
        // The trunk's figure has a norm behind the last block, which UperNet has not.
        trunk - norm_parameters(d)
            + adapter_parameters(self.patch_size, d)
            + decode
            + conv(9, d, a)
            + linear_parameters(a, k)
    }

    /// Floating-point operations (a multiply-add is two) of all matrix products of one image's training step, everything
    /// trained: the backward pass of a product costs two of its size.
    #[must_use]
    pub fn flops_per_image(&self) -> f64 {
        let vit = self.vit();
        vit.flops_per_image(vit.tokens()) + 3.0 * flops(&self.products())
    }

    /// Bytes of the activations that one image's training step keeps in f32 until its backward pass: the trunk's with all
    /// blocks trained, and of every layer on a map its input, what its norm keeps and ReLU's slope; and of what passes through the largest.
    #[must_use]
    pub fn activation_bytes(&self) -> usize {
        let products = self.products();
        self.vit().activation_bytes(self.depth) + size_of::<f32>() * (kept(&products) + passing(&products))
    }

    /// Bytes of the activations of one image on its way through, in f32, when nothing is kept for a backward pass, with the
    /// resized logits.
    #[must_use]
    pub fn inference_bytes(&self) -> usize {
        let logits = self.img_size[0] * self.img_size[1] * self.num_classes;
        self.vit().inference_bytes() + size_of::<f32>() * (kept(&self.products()) + logits)
    }

    /// Of the head, for one image.
    fn products(&self) -> Vec<Product> {
        let (d, c, a, k) = (self.embed_dim, self.channels, self.aux_channels, self.num_classes);
        let patches = self.vit().num_patches();
        if self.head == HeadKind::Linear {
            return vec![product(patches, d, k)];
        }
        let pixels = levels::sizes(self.img_size).map(|[height, width]| height * width);
        let mut products: Vec<_> = adapters(self.patch_size, patches, d).collect();
        products.extend(self.pool_scales.iter().map(|cells| product(cells * cells, d, c)));
        products.extend(pixels[..3].iter().flat_map(|&rows| [product(rows, d, c), conv3x3(rows, c, c)]));
        products.extend([
            conv3x3(pixels[3], d + self.pool_scales.len() * c, c),
            conv3x3(pixels[0], 4 * c, c),
            product(pixels[0], c, k),
            conv3x3(pixels[2], d, a),
            product(pixels[2], a, k),
        ]);
        products
    }
}
