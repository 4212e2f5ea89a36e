//! A model's tensors: what role each has, how a layer declares them once, and the one walk over them.
//!
//! Weights, gradients, optimiser moments and a teacher's moving average are all values of the layer's
//! own type, so the same walk serves them all. The names it yields are the checkpoint's names.

use crate::base::Real;
use crate::exec::kernel::{self, Add};
use crate::exec::matrix::{Matrix, Version};
use crate::exec::row_blocks;
use ndarray::{Array, Dimension};

/// What a tensor is for. What a role implies is decided elsewhere: initial values in
/// [`crate::layers::init`], weight decay in [`crate::optim::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A matrix (or the patch projection's kernel) that multiplies activations.
    Weight,
    /// An offset added after a product.
    Bias,
    /// Scale or shift of a layer norm.
    Norm,
    /// A learnt token: class or mask.
    Token,
    /// A table of position embeddings.
    Position,
    /// A running statistic: part of a checkpoint, never trained.
    Buffer,
}

/// One tensor seen by the walk.
#[derive(Clone, Debug)]
pub struct Tensor<'a, F> {
    /// The checkpoint's name, for example `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The checkpoint's shape.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub data: &'a [F],
}

/// One tensor seen by the walk, to be written.
#[derive(Debug)]
pub struct TensorMut<'a, F> {
    /// The checkpoint's name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The checkpoint's shape.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub data: Elements<'a, F>,
}

/// The elements of a tensor that is going to be written, maybe.
#[derive(Debug)]
pub struct Elements<'a, F> {
    elements: &'a mut [F],
    version: Option<&'a mut Version>,
}

impl<'a, F> Elements<'a, F> {
    /// The elements, to be written: whoever keeps a copy of them will know that it is of another version.
    #[must_use]
    pub fn write(self) -> &'a mut [F] {
        self.version.into_iter().for_each(Version::bump);
        self.elements
    }
}

impl<'a, F, D: Dimension> From<&'a mut Array<F, D>> for Elements<'a, F> {
    fn from(array: &'a mut Array<F, D>) -> Self {
        let elements = array.as_slice_mut().expect("tensors are stored in row-major order");
        Self { elements, version: None }
    }
}

impl<'a, F> From<&'a mut Matrix<F>> for Elements<'a, F> {
    fn from(matrix: &'a mut Matrix<F>) -> Self {
        let (array, version) = matrix.parts_mut();
        Self { version: Some(version), ..array.into() }
    }
}

/// Elements of a tensor that one task works on: tensors are cut at fixed places, which changes no bits.
pub(crate) const PIECE: usize = 1 << 15;

/// The elements of one model's tensors beside those of another.
fn pieces<'a, F: Real, P: Params<F>>(
    mine: &'a mut P,
    theirs: &'a P,
) -> impl Iterator<Item = (&'a mut [F], &'a [F])> {
    let tensors = mine.tensors_mut().into_iter().zip(theirs.tensors());
    tensors.flat_map(|(mine, theirs)| mine.data.write().chunks_mut(PIECE).zip(theirs.data.chunks(PIECE)))
}

/// Something that owns tensors: a layer, a stack of layers, a model. Implemented by [`crate::params!`].
pub trait Params<F: Real>: Clone + Send + Sync {
    /// Appends this layer's tensors, named `PREFIXfield`.
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>);

    /// As [`Params::walk`], in the same order, to be written.
    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>);

    /// All tensors in the order of their declaration.
    fn tensors(&self) -> Vec<Tensor<'_, F>> {
        let mut out = Vec::new();
        self.walk("", &mut out);
        out
    }

    /// All tensors, to be written.
    fn tensors_mut(&mut self) -> Vec<TensorMut<'_, F>> {
        let mut out = Vec::new();
        self.walk_mut("", &mut out);
        out
    }

    /// Sets every element to zero.
    fn clear(&mut self) {
        for tensor in self.tensors_mut() {
            tensor.data.write().fill(F::zero());
        }
    }

    /// The same layer with every element zero: an empty gradient.
    #[must_use]
    fn zeros_like(&self) -> Self {
        let mut zeros = self.clone();
        zeros.clear();
        zeros
    }

    /// `self += other`, tensor by tensor.
    fn accumulate(&mut self, other: &Self) {
        row_blocks::each(false, pieces(self, other), |piece| kernel::widest(&Add, piece));
    }

    /// The same on rayon's threads, where nothing else is left for them: one that waits would take whatever there is.
    fn accumulate_in_parallel(&mut self, other: &Self) {
        row_blocks::each(true, pieces(self, other), |piece| kernel::widest(&Add, piece));
    }

    /// `self *= factor`.
    fn scale(&mut self, factor: F) {
        for tensor in self.tensors_mut() {
            tensor.data.write().iter_mut().for_each(|x| *x *= factor);
        }
    }

    /// The tensors' names and shapes.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors().into_iter().map(|t| (t.name, t.shape)).collect()
    }

    /// How many elements the layer holds.
    fn count(&self) -> usize {
        self.tensors().iter().map(|t| t.data.len()).sum()
    }
}

/// Several layers of one type are named by their index: `blocks.0`, `blocks.1`, …
impl<F: Real, P: Params<F>> Params<F> for Vec<P> {
    fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<Tensor<'a, F>>) {
        for (i, layer) in self.iter().enumerate() {
            layer.walk(&format!("{prefix}{i}."), out);
        }
    }

    fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<TensorMut<'a, F>>) {
        for (i, layer) in self.iter_mut().enumerate() {
            layer.walk_mut(&format!("{prefix}{i}."), out);
        }
    }
}

/// One tensor's entry in the walk; used by [`crate::params!`].
pub fn tensor<F, D: Dimension>(name: String, role: Role, array: &Array<F, D>) -> Tensor<'_, F> {
    let shape = array.shape().to_vec();
    let data = array.as_slice().expect("tensors are stored in row-major order");
    Tensor { name, role, shape, data }
}

/// One tensor's entry in the walk, to be written; used by [`crate::params!`].
pub fn tensor_mut<'a, F>(
    name: String,
    role: Role,
    shape: Vec<usize>,
    data: impl Into<Elements<'a, F>>,
) -> TensorMut<'a, F> {
    TensorMut { name, role, shape, data: data.into() }
}

/// Declares a layer: its own `tensors` with their roles, its `buffers`, which are checkpointed and not trained, its
/// sub-`layers`, parts whose tensors carry no prefix (`first` stand before all others in the walk, `flat` ones behind
/// them), and `plain` fields that are no tensors. Each appears once, here.
///
/// A gradient is a value of the same type; nothing adds to its buffers, which stay 0.
///
/// ```
/// use ndarray::{Array1, Array2};
/// use vit_mae::params::Params;
///
/// vit_mae::params! {
///     /// `y = x Wᵀ + b`.
///     pub struct Affine {
///         tensors {
///             /// `[out, in]`.
///             weight: Array2<F> = Weight,
///             /// `[out]`.
///             bias: Array1<F> = Bias,
///         }
///     }
/// }
/// let layer = Affine::<f32> { weight: Array2::zeros((2, 3)), bias: Array1::zeros(2) };
/// assert_eq!(layer.tensors()[1].name, "bias");
/// assert_eq!(layer.count(), 8);
/// ```
#[macro_export]
macro_rules! params {
    (
        $(#[$meta:meta])*
        pub struct $layer:ident {
            $(first { $($(#[$hmeta:meta])* $head:ident: $htype:ty),* $(,)? })?
            $(tensors { $($(#[$tmeta:meta])* $tensor:ident: $ttype:ty = $role:ident),* $(,)? })?
            $(buffers { $($(#[$bmeta:meta])* $buffer:ident: $btype:ty),* $(,)? })?
            $(layers { $($(#[$lmeta:meta])* $sub:ident: $ltype:ty),* $(,)? })?
            $(flat { $($(#[$fmeta:meta])* $part:ident: $ftype:ty),* $(,)? })?
            $(plain { $($(#[$pmeta:meta])* $plain:ident: $ptype:ty),* $(,)? })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $layer<F> {
            $($($(#[$hmeta])* pub $head: $htype,)*)?
            $($($(#[$tmeta])* pub $tensor: $ttype,)*)?
            $($($(#[$bmeta])* pub $buffer: $btype,)*)?
            $($($(#[$lmeta])* pub $sub: $ltype,)*)?
            $($($(#[$fmeta])* pub $part: $ftype,)*)?
            $($($(#[$pmeta])* pub $plain: $ptype,)*)?
        }

        impl<F: $crate::Real> $crate::params::Params<F> for $layer<F> {
            fn walk<'a>(&'a self, prefix: &str, out: &mut Vec<$crate::params::Tensor<'a, F>>) {
                $($($crate::params::Params::walk(&self.$head, prefix, out);)*)?
                $($({
                    let name = format!("{prefix}{}", stringify!($tensor));
                    out.push($crate::params::tensor(name, $crate::params::Role::$role, &self.$tensor));
                })*)?
                $($({
                    let name = format!("{prefix}{}", stringify!($buffer));
                    out.push($crate::params::tensor(name, $crate::params::Role::Buffer, &self.$buffer));
                })*)?
                $($($crate::params::Params::walk(
                    &self.$sub,
                    &format!("{prefix}{}.", stringify!($sub)),
                    out,
                );)*)?
                $($($crate::params::Params::walk(&self.$part, prefix, out);)*)?
            }

            fn walk_mut<'a>(&'a mut self, prefix: &str, out: &mut Vec<$crate::params::TensorMut<'a, F>>) {
                $($($crate::params::Params::walk_mut(&mut self.$head, prefix, out);)*)?
                $($({
                    let name = format!("{prefix}{}", stringify!($tensor));
                    out.push($crate::params::tensor_mut(
                        name,
                        $crate::params::Role::$role,
                        self.$tensor.shape().to_vec(),
                        &mut self.$tensor,
                    ));
                })*)?
                $($({
                    let name = format!("{prefix}{}", stringify!($buffer));
                    out.push($crate::params::tensor_mut(
                        name,
                        $crate::params::Role::Buffer,
                        self.$buffer.shape().to_vec(),
                        &mut self.$buffer,
                    ));
                })*)?
                $($($crate::params::Params::walk_mut(
                    &mut self.$sub,
                    &format!("{prefix}{}.", stringify!($sub)),
                    out,
                );)*)?
                $($($crate::params::Params::walk_mut(&mut self.$part, prefix, out);)*)?
            }
        }
    };
}
