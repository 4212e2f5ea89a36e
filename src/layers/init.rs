//! Initial values: the reference's distribution for each tensor, addressed by the tensor's name.

use crate::base::Real;
use crate::base::rng::{Purpose, rng, uniform};
use crate::params::{Params, Role};
use rand::Rng;
use rand_distr::{Distribution, Normal};

/// Standard deviation of class and mask tokens (He et al. 2022, code: `normal_(std=.02)`).
const TOKEN_STD: f64 = 0.02;

/// Fills every tensor but position tables and buffers, which have no randomness and stay as they were made.
///
/// | role | distribution |
/// | --- | --- |
/// | `Weight` `[out, in…]` | uniform in ±√(6 / (out + in)), Xavier; `in` counts all inputs of the kernel |
/// | `Bias` | 0; of the patch projection uniform in ±1/√in, the convolution's default that the reference keeps |
/// | `Norm` | weight 1, bias 0 |
/// | `Token` | normal, standard deviation 0.02 |
///
/// Each tensor has its own generator, so adding a layer does not change the others.
pub fn init<F: Real>(model: &mut impl Params<F>, seed: u64) {
    let mut fan_in = 0;
    for tensor in model.tensors_mut() {
        let mut rng = rng(seed, Purpose::Init, 0, address(&tensor.name));
        match tensor.role {
            Role::Weight => {
                fan_in = tensor.shape[1..].iter().product();
                let bound = (6.0 / (tensor.shape[0] + fan_in) as f64).sqrt();
                fill_uniform(tensor.data.write(), bound, &mut rng);
            }
            // Follows its weight in the walk, whose fan-in bounds it.
            Role::Bias if tensor.name.ends_with("patch_embed.proj.bias") => {
                fill_uniform(tensor.data.write(), 1.0 / (fan_in as f64).sqrt(), &mut rng);
            }
            Role::Norm if tensor.name.ends_with("weight") => tensor.data.write().fill(F::one()),
            Role::Bias | Role::Norm => tensor.data.write().fill(F::zero()),
            Role::Token => normal(tensor.data.write(), &tensor.name, TOKEN_STD, seed),
            Role::Position | Role::Buffer => {}
        }
    }
}

/// Fills one tensor with normal numbers, at the address of its name: a head's weight, whose standard deviation the task decides.
///
/// # Panics
/// If the standard deviation is not a positive number.
pub fn normal<F: Real>(data: &mut [F], name: &str, std: f64, seed: u64) {
    let mut rng = rng(seed, Purpose::Init, 0, address(name));
    let normal = Normal::new(0.0, std).expect("a positive standard deviation");
    data.fill_with(|| F::of(normal.sample(&mut rng)));
}

fn fill_uniform<F: Real>(data: &mut [F], bound: f64, rng: &mut impl Rng) {
    for x in data {
        *x = F::of((2.0 * uniform(rng) - 1.0) * bound);
    }
}

/// FNV-1a of the tensor's name.
fn address(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
