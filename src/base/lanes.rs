//! Vectors of a number type, whatever the machine's width: the few operations that product kernels need.

use pulp::Simd;

/// `f32` or `f64` in vectors of an instruction set `S`.
pub trait Lanes: Copy {
    /// A vector.
    type Vector<S: Simd>: Copy;

    /// Numbers in a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;

    /// `a ⊙ b`.
    fn multiply<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// `a ⊙ b + c`, rounded once where the instruction set can do that.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// The first elements of `from`.
    ///
    /// # Panics
    /// If there are fewer than a vector's.
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;

    /// As many elements of a vector as `to` holds, at most all of them.
    fn store<S: Simd>(simd: S, to: &mut [Self], x: Self::Vector<S>);
}

macro_rules! lanes {
    ($f:ty, $vector:ident, $splat:ident, $mul:ident, $mul_add:ident, $vectors:ident, $vectors_mut:ident, $store:ident) => {
        impl Lanes for $f {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }

            #[inline(always)]
            fn multiply<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn load<S: Simd>(_: S, from: &[Self]) -> S::$vector {
                S::$vectors(from).0[0]
            }

            #[inline(always)]
            fn store<S: Simd>(simd: S, to: &mut [Self], x: S::$vector) {
                match S::$vectors_mut(to) {
                    ([first, ..], _) => *first = x,
                    (_, rest) => simd.$store(rest, x),
                }
            }
        }
    };
}

// `mul_add_e`: fused where there is an instruction for it; without one, a fused result would take a library
// call for every element.
lanes!(f32, f32s, splat_f32s, mul_f32s, mul_add_e_f32s, as_simd_f32s, as_mut_simd_f32s, partial_store_f32s);
lanes!(f64, f64s, splat_f64s, mul_f64s, mul_add_e_f64s, as_simd_f64s, as_mut_simd_f64s, partial_store_f64s);
