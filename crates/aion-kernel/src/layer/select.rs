//! Rows of a matrix by their numbers.

use burn::tensor::{Tensor, TensorData};

use crate::gradient::{Gradient, Input, Inputs};
use crate::memory::zeros;

/// The rows of these numbers, each below the number of rows.
///
/// # Shapes
/// `(rows, dim)` → `(numbers.len(), dim)`
pub fn select_rows(matrix: Tensor<2>, numbers: &[i64]) -> Tensor<2> {
    let shape @ [_, dim] = matrix.dims();
    let Some(inputs) = Inputs::of([Input::of(&matrix)]) else {
        let numbers = TensorData::new(numbers.to_vec(), [numbers.len()]);
        let numbers = Tensor::from_data(numbers, &matrix.device());
        return matrix.select(0, numbers);
    };
    let numbers: Vec<usize> = numbers.iter().map(|row| *row as usize).collect();
    let values = inputs.hosts()[0].values();
    let mut output = Vec::with_capacity(numbers.len() * dim);
    for row in &numbers {
        output.extend_from_slice(&values[row * dim..(row + 1) * dim]);
    }
    let selected = [numbers.len(), dim];
    inputs.result(output, selected, |_, _| SelectGradient { numbers, shape })
}

#[derive(Debug)]
struct SelectGradient {
    numbers: Vec<usize>,
    /// Of the matrix.
    shape: [usize; 2],
}

impl Gradient<1> for SelectGradient {
    fn backward(&self, output: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let [rows, dim] = self.shape;
        let mut matrix = zeros(rows * dim);
        for (row, gradient) in self.numbers.iter().zip(output.chunks_exact(dim)) {
            let to = &mut matrix[row * dim..(row + 1) * dim];
            to.iter_mut().zip(gradient).for_each(|(to, d)| *to += d);
        }
        [Some(matrix)]
    }
}
