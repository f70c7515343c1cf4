//! The matrix of a layer, in single precision or in fewer bits.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::select::select_rows;
use crate::init::Init;
use crate::memory::{HostTensor, from_host};
use crate::narrow::{LazyMatrix, NarrowMatrix};
use crate::product::Stored;
use crate::weights::Weights;

/// A matrix `(rows, columns)`.
#[derive(Module, Debug)]
pub(super) struct WeightMatrix {
    param: Param<Tensor<2>>,
    /// What is used in its stead: the parameter then is not read but to be saved.
    #[module(skip)]
    narrow: Option<LazyMatrix>,
}

impl WeightMatrix {
    /// Reads `weight`.
    pub(super) fn new(weights: &Weights, shape: [usize; 2], init: Init) -> Self {
        let (param, narrow) = weights.matrix("weight", shape, init);
        WeightMatrix { param, narrow }
    }

    /// Of these values.
    #[cfg(test)]
    pub(super) fn of(values: Tensor<2>) -> Self {
        WeightMatrix {
            param: Param::initialized(burn::module::ParamId::new(), values),
            narrow: None,
        }
    }

    /// The parameter.
    pub(super) fn val(&self) -> Tensor<2> {
        self.param.val()
    }

    /// Some rows.
    pub(super) fn rows(&self, rows: Range<usize>) -> Tensor<2> {
        match self.narrow() {
            Some(matrix) => widened(matrix, rows),
            None if self.param.val().is_autodiff() => {
                let numbers: Vec<i64> = rows.map(|row| row as i64).collect();
                select_rows(self.param.val(), &numbers)
            }
            None => self.param.val().slice([rows]),
        }
    }

    /// The rows of these numbers.
    pub(super) fn select(&self, rows: &[i64]) -> Tensor<2> {
        match self.narrow() {
            Some(matrix) => widened(matrix, rows.iter().map(|row| *row as usize)),
            None => select_rows(self.param.val(), rows),
        }
    }

    fn narrow(&self) -> Option<&NarrowMatrix> {
        self.narrow.as_ref().map(|narrow| &***narrow)
    }

    /// The matrix in the CPU's memory; `None` where it is elsewhere or wants a gradient.
    pub(super) fn on_host(&self) -> Option<HostMatrix<'_>> {
        match self.narrow() {
            Some(matrix) => Some(HostMatrix::Narrow(matrix)),
            None => HostTensor::of(&self.param.val()).map(HostMatrix::Full),
        }
    }
}

fn widened(matrix: &NarrowMatrix, rows: impl ExactSizeIterator<Item = usize>) -> Tensor<2> {
    let shape = [rows.len(), matrix.shape()[1]];
    from_host(matrix.rows(rows), shape)
}

/// A matrix in the CPU's memory.
pub(super) enum HostMatrix<'a> {
    Full(HostTensor),
    Narrow(&'a NarrowMatrix),
}

impl HostMatrix<'_> {
    pub(super) fn shape(&self) -> [usize; 2] {
        match self {
            HostMatrix::Full(matrix) => matrix.dims(),
            HostMatrix::Narrow(matrix) => matrix.shape(),
        }
    }

    /// The same for a product.
    pub(super) fn stored(&self) -> Stored<'_> {
        match self {
            HostMatrix::Full(matrix) => matrix.values().into(),
            HostMatrix::Narrow(matrix) => Stored::Narrow(matrix),
        }
    }
}
