//! Edge: what a shard does for each delivery and each request, without the kernel.
//!
//! `cargo bench -p tickcast-benches --bench edge`. The walk's figures hold on one machine only;
//! the decoder's ratios to tungstenite come from interleaved rounds and are the result.

mod decoder;
mod walk;

fn main() {
    walk::measure();
    decoder::measure();
}
