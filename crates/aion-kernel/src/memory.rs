//! Between tensors and the memory of the CPU backend, for kernels that burn does not have.

use std::fmt;
use std::sync::{Arc, Mutex};

use burn::backend::Flex;
use burn::tensor::{Bytes, Device, Shape, Tensor, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// How many objects of a batch a network should work on together where objects do not depend on one
/// another. On the CPU as many as there are threads, and two at least: the activations of more fall out
/// of the caches, and those of fewer do not pay for reading the weights. Elsewhere all.
pub fn objects_abreast(device: &Device) -> usize {
    match *device == Device::flex() {
        true => rayon::current_num_threads().max(2),
        false => usize::MAX,
    }
}

/// A tensor's memory, if it lies on the CPU and no gradient is wanted through it.
#[derive(Debug, Clone)]
pub(crate) struct HostTensor(FlexTensor);

impl HostTensor {
    /// `None` on other devices, and under autodiff, where burn's own operations serve.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if tensor.is_autodiff() {
            return None;
        }
        let primitive = tensor.clone().try_into_primitive::<Flex>().ok()?;
        Some(Self::new(primitive))
    }

    /// Copies only what does not lie in order.
    pub(crate) fn new(primitive: FlexTensor) -> Self {
        HostTensor(primitive.to_contiguous())
    }

    /// Of no values.
    pub(crate) fn empty() -> Self {
        HostTensor(FlexTensor::from_data(TensorData::new(
            Vec::<f32>::new(),
            [0],
        )))
    }

    pub(crate) fn primitive(&self) -> FlexTensor {
        self.0.clone()
    }

    /// The values, row-major.
    pub(crate) fn values(&self) -> &[f32] {
        let layout = self.0.layout();
        let start = layout.start_offset();
        let len: usize = layout.shape().iter().product();
        &self.0.storage::<f32>()[start..start + len]
    }

    /// The values, if there are any.
    pub(crate) fn optional_values(&self) -> Option<&[f32]> {
        Some(self.values()).filter(|values| !values.is_empty())
    }

    /// The shape.
    pub(crate) fn dims<const D: usize>(&self) -> [usize; D] {
        let shape = self.0.layout().shape();
        std::array::from_fn(|axis| shape[axis])
    }

    pub(crate) fn shape(&self) -> Shape {
        self.0.layout().shape().clone()
    }

    fn identity(&self) -> (Arc<Bytes>, usize) {
        (self.0.data_arc(), self.0.layout().start_offset())
    }
}

/// The rows of a matrix, perhaps some columns of a wider one, under the conditions of [`HostTensor`].
pub(crate) struct HostRows(FlexTensor);

impl HostRows {
    /// `None` on other devices, and under autodiff.
    pub(crate) fn of(tensor: &Tensor<2>) -> Option<Self> {
        if tensor.is_autodiff() {
            return None;
        }
        let primitive = tensor.clone().try_into_primitive::<Flex>().ok()?;
        let in_order = matches!(primitive.layout().strides(), [row, 1] if *row > 0);
        Some(HostRows(if in_order {
            primitive
        } else {
            primitive.to_contiguous()
        }))
    }

    /// The values from the first row on, and the distance between rows.
    pub(crate) fn rows(&self) -> (&[f32], usize) {
        let layout = self.0.layout();
        let stride = layout
            .strides()
            .first()
            .map_or(0, |stride| stride.unsigned_abs());
        (&self.0.storage::<f32>()[layout.start_offset()..], stride)
    }
}

/// A tensor of values computed on the host.
pub(crate) fn from_host<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Memory that tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub *mut f32);
// SAFETY: whoever shares it sees to it that no two tasks touch the same value.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// A vector of `len` values, all of which `fill` writes: memory is not cleared before.
///
/// # Safety
/// `fill` writes every value.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    fill(Shared(values.as_mut_ptr()));
    // SAFETY: there is room for so many, and the caller promises that all are written.
    unsafe { values.set_len(len) };
    values
}

/// Vectors of `len` values that are made a block at a time, by as many threads as there are: `make` is given where a
/// block begins and its place in each, zeros so far. Also what it returned for each block, in order.
pub(crate) fn in_blocks<const N: usize, R: Send>(
    len: usize,
    block: usize,
    make: impl Fn(usize, [&mut [f32]; N]) -> R + Sync,
) -> ([Vec<f32>; N], Vec<R>) {
    let mut vectors = [(); N].map(|()| Vec::<f32>::with_capacity(len));
    let places = vectors.each_mut().map(|v| Shared(v.as_mut_ptr()));
    let block = block.max(1);
    let blocks = (0..len.div_ceil(block)).into_par_iter();
    let results = blocks.map(|index| {
        let start = index * block;
        let count = block.min(len - start);
        make(
            start,
            places.map(|place| {
                let place = place.0.wrapping_add(start);
                // SAFETY: each vector has room for `len` values, and this block of it is no other task's.
                // Zeros are values.
                unsafe {
                    place.write_bytes(0, count);
                    std::slice::from_raw_parts_mut(place, count)
                }
            }),
        )
    });
    let results = results.collect();
    for values in &mut vectors {
        // SAFETY: the blocks, all of them written, are `len` values together.
        unsafe { values.set_len(len) };
    }
    (vectors, results)
}

/// Values of a block of [`zeros`].
const ZEROS: usize = 1 << 16;

/// Memory that is cleared by as many threads as there are.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    let ([zeros], _) = in_blocks(len, ZEROS, |_, _| ());
    zeros
}

/// Something derived from a parameter (a packed or transformed weight), made once.
///
/// The parameter's memory is held beside it, so that nothing can change it in place; a parameter
/// that training replaced has other memory, and the derived value is made anew.
pub(crate) struct Derived<T>(Mutex<Option<Kept<T>>>);

struct Kept<T> {
    source: (Arc<Bytes>, usize),
    value: Arc<T>,
}

impl<T> Derived<T> {
    /// The value derived from `source`.
    pub(crate) fn get(&self, source: &HostTensor, derive: impl FnOnce(&[f32]) -> T) -> Arc<T> {
        let mut kept = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let (bytes, start) = source.identity();
        if let Some(kept) = kept.as_ref()
            && Arc::ptr_eq(&kept.source.0, &bytes)
            && kept.source.1 == start
        {
            return kept.value.clone();
        }
        let value = Arc::new(derive(source.values()));
        *kept = Some(Kept {
            source: (bytes, start),
            value: value.clone(),
        });
        value
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Derived(Mutex::new(None))
    }
}

// A copy of a module derives its own: its parameters may go their own way.
impl<T> Clone for Derived<T> {
    fn clone(&self) -> Self {
        Derived::default()
    }
}

impl<T> fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived")
    }
}
