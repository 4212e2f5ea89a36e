//! Claim: masking removes what it says it removes, wherever it passes: encoder and decoder put every
//! patch back where it came from, and a sample's mask depends on (seed, epoch, sample) alone.

use ndarray::{Array1, Array2, Array3, Array4, Axis, Ix2, s};
use rayon::prelude::*;
use vit_mae::exec::probe::Recorder;
use vit_mae::exec::{Backend, Exec};
use vit_mae::layers::init::init;
use vit_mae::mae::masking::{Masking, len_keep};
use vit_mae::mae::{Decoder, Encoder, MaeConfig, Mask, Strategy};
use vit_mae::models::vit::{Positions, Vit};

const STRATEGIES: [Strategy; 3] = [Strategy::Random, Strategy::Block, Strategy::Grid];
const IMAGES: usize = 4;
const GRID: (usize, usize) = (4, 6);
const PATCHES: usize = GRID.0 * GRID.1;
const WIDTH: usize = 8;

fn masking(strategy: Strategy, mask_ratio: f64) -> Masking {
    Masking { strategy, mask_ratio, grid: GRID }
}

fn masks(strategy: Strategy, mask_ratio: f64) -> Vec<Mask> {
    (0..IMAGES as u64).map(|sample| masking(strategy, mask_ratio).mask(3, 2, sample)).collect()
}

/// Encoder and decoder of one width, so that the rows of one fit the other.
fn config() -> MaeConfig {
    MaeConfig {
        img_size: [2 * GRID.0, 2 * GRID.1],
        in_chans: 3,
        patch_size: 2,
        embed_dim: WIDTH,
        depth: 1,
        num_heads: 2,
        decoder_embed_dim: WIDTH,
        decoder_depth: 1,
        decoder_num_heads: 2,
        mlp_ratio: 2.0,
        layer_norm_eps: 1e-6,
        norm_pix_loss: false,
    }
}

/// Every patch has a number of its own, in all its features.
fn trunk() -> Vit<f32> {
    Vit::new(&config().vit(), Positions::Fixed)
}

fn numbered_patches() -> Array2<f32> {
    Array2::from_shape_fn((IMAGES * PATCHES, WIDTH), |(row, _)| 1.0 + row as f32)
}

const CLASS: f32 = -1.0;
const REMOVED: f32 = -2.0;

#[test]
fn unshuffle_inverts_shuffle() {
    let cx = &mut Exec::new(Backend::default());
    let (mut vit, mut decoder) = (trunk(), Decoder::new(&config()));
    vit.cls_token.fill(CLASS);
    decoder.mask_token.fill(REMOVED);
    let patches = numbered_patches();
    for strategy in STRATEGIES {
        for ratio in [0.25, 0.5, 0.75] {
            let masks = masks(strategy, ratio);
            let visible = vit.tokens(&patches, |b| masks[b].ids_keep(), cx);
            let all = decoder.unshuffle(&visible, &masks, cx);
            for (b, image) in all.axis_chunks_iter(Axis(0), 1 + PATCHES).enumerate() {
                assert_eq!(image.row(0), Array1::from_elem(WIDTH, CLASS));
                for l in 0..PATCHES {
                    let patch = patches.row(b * PATCHES + l);
                    let expected = if masks[b].removes(l) { REMOVED } else { patch[0] };
                    assert_eq!(image.row(1 + l), Array1::from_elem(WIDTH, expected), "image {b}, patch {l}");
                }
            }
        }
    }
}

#[test]
fn the_encoder_sees_the_kept_patches_in_the_order_of_ids_keep() {
    let cx = &mut Exec::new(Backend::default());
    let mut vit = trunk();
    vit.cls_token.fill(CLASS);
    let (patches, masks) = (numbered_patches(), masks(Strategy::Random, 0.75));
    let visible = vit.tokens(&patches, |b| masks[b].ids_keep(), cx);
    assert_eq!(visible.nrows(), IMAGES * (1 + 6), "24 patches, 6 of them kept, and the class token");
    for (b, image) in visible.axis_chunks_iter(Axis(0), 7).enumerate() {
        let kept: Vec<f32> = masks[b].ids_keep().iter().map(|l| patches[[b * PATCHES + l, 0]]).collect();
        assert_eq!(image.column(0).to_vec(), [vec![CLASS], kept].concat());
    }
}

#[test]
fn a_removed_patch_does_not_reach_the_latent() {
    let cx = &mut Exec::new(Backend::default());
    let mut encoder = Encoder::<f32>::new(&config().vit());
    init(&mut encoder, 1);
    let masks = masks(Strategy::Random, 0.5);
    let images = Array4::from_shape_fn((IMAGES, 3, 8, 12), |(b, c, y, x)| {
        ((b * 31 + c * 17 + y * 7 + x * 3) % 11) as f32 / 11.0
    });
    let latent = encoder.forward(images.view(), &masks, cx).0;
    for l in 0..PATCHES {
        let mut changed = images.clone();
        let (y, x) = (l / GRID.1 * 2, l % GRID.1 * 2);
        changed.slice_mut(s![0, .., y..y + 2, x..x + 2]).mapv_inplace(|v| v + 0.5);
        let same = encoder.forward(changed.view(), &masks, cx).0 == latent;
        assert_eq!(same, masks[0].removes(l), "patch {l}");
    }
}

#[test]
fn a_mask_depends_on_seed_epoch_and_sample_alone() {
    let masking = masking(Strategy::Random, 0.75);
    let mask = masking.mask(1, 2, 3);
    assert_eq!(mask, masking.mask(1, 2, 3));
    for other in [masking.mask(0, 2, 3), masking.mask(1, 0, 3), masking.mask(1, 2, 0)] {
        assert_ne!(mask, other);
    }
}

#[test]
fn masks_do_not_depend_on_the_order_of_the_batch_or_on_threads() {
    for strategy in STRATEGIES {
        let masking = masking(strategy, 0.75);
        let in_order: Vec<Mask> = (0..200).map(|sample| masking.mask(9, 4, sample)).collect();
        let mut backwards: Vec<Mask> = (0..200).rev().map(|sample| masking.mask(9, 4, sample)).collect();
        backwards.reverse();
        assert_eq!(backwards, in_order);
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let parallel: Vec<Mask> = pool
                .install(|| (0..200u64).into_par_iter().map(|sample| masking.mask(9, 4, sample)).collect());
            assert_eq!(parallel, in_order, "{threads} threads");
        }
    }
}

#[test]
fn every_ratio_removes_its_share() {
    for strategy in STRATEGIES {
        for percent in 0..100u32 {
            let ratio = f64::from(percent) / 100.0;
            let mask = masking(strategy, ratio).mask(0, 0, u64::from(percent));
            let keep = len_keep(PATCHES, ratio);
            assert!((keep as f64 - PATCHES as f64 * (1.0 - ratio)).abs() < 1.0);
            assert_eq!(mask.ids_keep().len(), keep);
            assert_eq!((0..PATCHES).filter(|&l| mask.removes(l)).count(), PATCHES - keep);
            assert!(mask.ids_keep().iter().all(|&l| !mask.removes(l)));
        }
    }
}

#[test]
fn positions_stay_with_their_patches() {
    // With all weights 0, tokens are positions: the encoder's input shows which position each patch got.
    let encoder = Encoder::<f64>::new(&config().vit());
    let table: Array3<f64> = encoder.vit.pos_embed.clone();
    let masks = masks(Strategy::Random, 0.75);
    let recorder = Recorder::default();
    let cx = &mut Exec::new(Backend::default()).with_probe(recorder.clone());
    let _ = encoder.forward(Array4::zeros((IMAGES, 3, 8, 12)).view(), &masks, cx);
    let tensors = recorder.tensors();
    let input = tensors["act.encoder_input"].view().into_dimensionality::<Ix2>().expect("a matrix");
    for (b, image) in input.axis_chunks_iter(Axis(0), 7).enumerate() {
        for (i, &l) in masks[b].ids_keep().iter().enumerate() {
            assert_eq!(image.row(1 + i), table.slice(s![0, 1 + l, ..]), "image {b}, patch {l}");
        }
    }
}
