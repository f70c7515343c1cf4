//! Operations of ours on the CPU's memory, with gradients of their own.
//!
//! An operation asks [`Inputs::of`] for its inputs' memory, computes, and gives the result to
//! [`Inputs::result`] with what the gradient needs. Where no input wants a gradient nothing is
//! recorded. Other devices give no memory, and burn's operations serve.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::{Shape, Tensor, TensorData};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;

use crate::memory::{HostTensor, from_host};

/// A tensor in burn's graph.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// What an operation kept for its gradient.
pub(crate) trait Gradient<const N: usize>: Send + Sync + fmt::Debug + 'static {
    /// Gradients of the inputs that want one, from the output's; each as large as its input.
    fn backward(&self, output: &[f32], wanted: [bool; N]) -> [Option<Vec<f32>>; N];

    /// The input, if there is one, whose gradient is the output's as it stands in memory.
    fn passed_on(&self) -> Option<usize> {
        None
    }
}

/// The inputs of an operation, all in the CPU's memory.
pub(crate) struct Inputs<const N: usize> {
    hosts: [HostTensor; N],
    /// `None` where no input wants a gradient.
    tracked: Option<[Tracked; N]>,
}

/// A tensor of any rank, in its two forms.
pub(crate) struct Input {
    host: HostTensor,
    tracked: Option<Tracked>,
}

impl Input {
    /// `None` where the memory is not the CPU's.
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Option<Self> {
        if !tensor.is_autodiff() {
            let host = HostTensor::of(tensor)?;
            return Some(Input {
                host,
                tracked: None,
            });
        }
        let tracked = tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
        Some(Input {
            host: HostTensor::new(tracked.primitive().clone()),
            tracked: Some(tracked),
        })
    }

    /// Of what there may be: nothing has no values, and wants no gradient.
    pub(crate) fn optional<const D: usize>(tensor: Option<&Tensor<D>>) -> Option<Self> {
        let none = Input {
            host: HostTensor::empty(),
            tracked: None,
        };
        tensor.map_or(Some(none), Self::of)
    }
}

impl<const N: usize> Inputs<N> {
    /// `None` where one of them is not in the CPU's memory.
    pub(crate) fn of(inputs: [Option<Input>; N]) -> Option<Self> {
        let inputs: Vec<Input> = inputs.into_iter().collect::<Option<_>>()?;
        let any = inputs.iter().any(|input| input.tracked.is_some());
        let (hosts, tracked): (Vec<_>, Vec<_>) =
            inputs.into_iter().map(|i| (i.host, i.tracked)).unzip();
        let hosts: [HostTensor; N] = hosts.try_into().ok()?;
        let leaf = |(at, tracked): (usize, Option<Tracked>)| {
            tracked.unwrap_or_else(|| Autodiff::<Flex>::from_inner(hosts[at].primitive()))
        };
        let tracked: Vec<_> = match any {
            true => tracked.into_iter().enumerate().map(leaf).collect(),
            false => Vec::new(),
        };
        Some(Inputs {
            tracked: tracked.try_into().ok(),
            hosts,
        })
    }

    /// The memory of each.
    pub(crate) fn hosts(&self) -> &[HostTensor; N] {
        &self.hosts
    }

    /// Whether a gradient is wanted through any of them.
    pub(crate) fn is_tracked(&self) -> bool {
        self.tracked.is_some()
    }

    /// The result as a tensor; `gradient`, given inputs and result, is asked for where one is wanted.
    pub(crate) fn result<const D: usize, G: Gradient<N>>(
        self,
        output: Vec<f32>,
        shape: [usize; D],
        gradient: impl FnOnce([HostTensor; N], HostTensor) -> G,
    ) -> Tensor<D> {
        let Some(tracked) = self.tracked else {
            return from_host(output, shape);
        };
        let shapes = self.hosts.each_ref().map(HostTensor::shape);
        let output = FlexTensor::from_data(TensorData::new(output, shape));
        let nodes = tracked.each_ref().map(Tracked::node);
        let recorded = Recorded::<G, N>(PhantomData);
        let prepared = recorded.prepare::<NoCheckpointing>(nodes);
        let output = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let result = HostTensor::new(output.clone());
                let kept = Kept(Arc::new((gradient(self.hosts, result), shapes)));
                prepared.finish(kept, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        };
        Tensor::from_primitive::<Autodiff<Flex>>(output)
    }
}

/// Joins an operation to burn's graph.
struct Recorded<G, const N: usize>(PhantomData<fn() -> G>);

impl<G, const N: usize> fmt::Debug for Recorded<G, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<G>())
    }
}

#[derive(Debug)]
struct Kept<G, const N: usize>(Arc<(G, [Shape; N])>);

impl<G, const N: usize> Clone for Kept<G, N> {
    fn clone(&self) -> Self {
        Kept(self.0.clone())
    }
}

impl<G: Gradient<N>, const N: usize> Backward<Flex, N> for Recorded<G, N> {
    type State = Kept<G, N>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let output = HostTensor::new(gradients.consume::<Flex>(&ops.node));
        let (gradient, shapes) = &*ops.state.0;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = gradient.backward(output.values(), wanted);
        let inputs = ops.parents.iter().zip(found).zip(shapes).enumerate();
        for (index, ((node, found), shape)) in inputs {
            let Some(node) = node else {
                continue;
            };
            let found = match found {
                Some(found) => FlexTensor::from_data(TensorData::new(found, shape.clone())),
                None if gradient.passed_on() == Some(index) => output.primitive(),
                None => continue,
            };
            gradients.register::<Flex>(node.id, found);
        }
    }
}
