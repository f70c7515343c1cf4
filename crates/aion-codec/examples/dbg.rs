//! Scratch.
use burn::tensor::*; use burn::module::Module; use aion_codec::image::*; use aion_kernel::Weights; use aion_data::Image;
fn main() {
    let d = Device::flex();
    let config = ImageConfig { hidden_dims: 64, num_consecutive: 1, ..ImageConfig::published() };
    let codec = ImageCodec::new(&config, &Weights::seeded(0, &d));
    let img = Image { bands: ["DES-G","DES-R","DES-I","DES-Z"].map(String::from).to_vec(), height: 96, width: 96, flux: (0..4*96*96).map(|i| ((i*7919)%1000) as f32/1000.0).collect(), ivar: None };
    let l = codec.loss(&[img.clone(), img.clone()], &d).unwrap(); println!("{:?}", l.total.into_data());
    let codec = codec.train();
    let ad = d.clone().autodiff();
    for dev in [&d, &ad] { println!("dev {dev:?}"); let l = codec.loss(&[img.clone(), img.clone()], dev).unwrap(); let t = std::time::Instant::now(); let g = l.total.backward(); println!("{:?} {:?}", l.total.into_data(), t.elapsed()); let _ = g; }
}
