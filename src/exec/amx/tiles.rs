//! What the matrix unit does: a block of `C`, 32 × 32, from packed strips of `A` and `B`, in its eight tile registers.

use super::pack::{STEP, TILE};
use std::arch::asm;

/// Rows and columns of a block of `C`: four tiles of 16 × 16.
pub(super) const BLOCK: usize = 32;

/// What `ldtilecfg` reads: all eight tiles have 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Makes the tile registers usable on this thread while `work` runs.
///
/// # Safety
/// The processor has the unit and the system lets the process use it.
pub(super) unsafe fn with_tiles(work: impl FnOnce()) {
    let mut tiles =
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    tiles.row_bytes[..8].fill(64);
    tiles.rows[..8].fill(16);
    // SAFETY: the caller's; `tiles` has the layout that the instruction reads.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const tiles, options(nostack, readonly)) };
    work();
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// A block of `C`: its first element, the bytes from row to row, and whether the product is added to what is there.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) first: *mut f32,
    pub(super) row_bytes: usize,
    pub(super) add: bool,
}

/// Loads a tile from a strip's step: of which plane, and which of its two.
macro_rules! load {
    ($tile:literal, $strip:literal, $plane:literal, $half:literal) => {
        concat!("tileloadd tmm", $tile, ", [{", $strip, "} + {line} + 2048*", $plane, " + 1024*", $half, "]")
    };
}

/// `C ← C + A·B` of a tile of each.
macro_rules! multiply {
    ($c:literal, $a:literal, $b:literal) => {
        concat!("tdpbf16ps tmm", $c, ", tmm", $a, ", tmm", $b)
    };
}

/// `C ← A·B`, or added to what is there, for a block, over `steps` steps of the inner dimension. Of the nine products of a number's
/// three parts with those of another, the six largest. Tiles 0 to 3 hold `C`, 4 and 5 are rows of `A`, 6 and 7 columns of `B`.
///
/// # Safety
/// `a` and `b` are packed strips of so many steps, one or more, `c` has 32 rows and columns, and the tiles are configured.
pub(super) unsafe fn product(a: *const u8, b: *const u8, steps: usize, c: Target) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{c} + {row_bytes}]",
            "tileloadd tmm1, [{c} + {row_bytes} + 64]",
            "tileloadd tmm2, [{lower_c} + {row_bytes}]",
            "tileloadd tmm3, [{lower_c} + {row_bytes} + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            // A₀ B₀
            load!(4, "a", 0, 0), load!(6, "b", 0, 0), multiply!(0, 4, 6),
            load!(5, "a", 0, 1), multiply!(2, 5, 6),
            load!(7, "b", 0, 1), multiply!(1, 4, 7), multiply!(3, 5, 7),
            // A₀ B₁
            load!(6, "b", 1, 0), multiply!(0, 4, 6), multiply!(2, 5, 6),
            load!(7, "b", 1, 1), multiply!(1, 4, 7), multiply!(3, 5, 7),
            // A₀ B₂
            load!(6, "b", 2, 0), multiply!(0, 4, 6), multiply!(2, 5, 6),
            load!(7, "b", 2, 1), multiply!(1, 4, 7), multiply!(3, 5, 7),
            // A₁ B₁
            load!(4, "a", 1, 0), load!(6, "b", 1, 0), multiply!(0, 4, 6),
            load!(5, "a", 1, 1), multiply!(2, 5, 6),
            load!(7, "b", 1, 1), multiply!(1, 4, 7), multiply!(3, 5, 7),
            // A₁ B₀
            load!(6, "b", 0, 0), multiply!(0, 4, 6), multiply!(2, 5, 6),
            load!(7, "b", 0, 1), multiply!(1, 4, 7), multiply!(3, 5, 7),
            // A₂ B₀
            load!(4, "a", 2, 0), multiply!(0, 4, 6), multiply!(1, 4, 7),
            load!(5, "a", 2, 1), multiply!(2, 5, 6), multiply!(3, 5, 7),
            "add {a}, {step}",
            "add {b}, {step}",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{c} + {row_bytes}], tmm0",
            "tilestored [{c} + {row_bytes} + 64], tmm1",
            "tilestored [{lower_c} + {row_bytes}], tmm2",
            "tilestored [{lower_c} + {row_bytes} + 64], tmm3",
            step = const STEP,
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            steps = inout(reg) steps => _,
            line = in(reg) TILE / 16,
            c = in(reg) c.first,
            lower_c = in(reg) c.first.wrapping_byte_add(16 * c.row_bytes),
            row_bytes = in(reg) c.row_bytes,
            add = in(reg) u64::from(c.add),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
