//! What the host (`cargo xtask vm`) and process 1 of the test VM share: the frames on the one
//! virtio port between them, and the job that the host asks for.

pub mod frame;
pub mod job;
