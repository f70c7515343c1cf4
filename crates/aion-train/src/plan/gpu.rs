//! The accelerators that a plan can be made for, by their vendors' figures.
//!
//! Peaks are those of dense bf16 products, without structured sparsity; bandwidths count one
//! direction. Sources: NVIDIA's data sheets of A100 80 GB SXM, H100 SXM, H200 SXM and HGX B200; AMD's
//! of MI250X and MI300X; OLCF's user guide for the links of MI250X dies and their share of a node's
//! network. The network elsewhere is what is usually built around them: 200 Gb/s for an A100, 400 Gb/s
//! for the later ones.

use serde::Serialize;

/// One accelerator, as schedulers count them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gpu {
    /// Its name on the command line.
    pub name: &'static str,
    /// Dense bf16 products, floating-point operations a second.
    pub peak: f64,
    /// Memory, bytes.
    pub memory: f64,
    /// Memory bandwidth, bytes a second.
    pub bandwidth: f64,
    /// To its neighbours in a node, bytes a second in one direction.
    pub link: f64,
    /// Its share of the network between nodes, bytes a second in one direction.
    pub network: f64,
    /// Accelerators in a node.
    pub in_node: u64,
}

/// Every accelerator known. An MI250X card is two dies, which count as two.
pub const GPUS: [Gpu; 6] = [
    gpu("a100", 312.0, 80.0, 2.039, 300.0, 25.0),
    gpu("h100", 989.4, 80.0, 3.35, 450.0, 50.0),
    gpu("h200", 989.4, 141.0, 4.8, 450.0, 50.0),
    gpu("b200", 2250.0, 180.0, 8.0, 900.0, 50.0),
    gpu("mi250x", 191.5, 64.0, 1.6, 50.0, 12.5),
    gpu("mi300x", 1307.4, 192.0, 5.3, 448.0, 50.0),
];

/// From TFLOP/s, GB, TB/s and twice GB/s; nodes of eight.
const fn gpu(
    name: &'static str,
    peak: f64,
    memory: f64,
    bandwidth: f64,
    link: f64,
    network: f64,
) -> Gpu {
    Gpu {
        name,
        peak: peak * 1e12,
        memory: memory * 1e9,
        bandwidth: bandwidth * 1e12,
        link: link * 1e9,
        network: network * 1e9,
        in_node: 8,
    }
}

impl Gpu {
    /// The accelerator called `name`.
    pub fn from_name(name: &str) -> Option<Gpu> {
        GPUS.into_iter().find(|gpu| gpu.name == name)
    }
}
