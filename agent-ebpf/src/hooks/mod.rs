//! The hooks, one file per family. Each file's header lists its hooks and the rights they decide.

mod attributes;
mod bpf;
mod call;
mod cgroup;
mod crash;
mod descriptors;
mod exec;
mod files;
mod ioctl;
mod ipc;
mod label;
mod locks;
mod mounts;
mod network;
mod proc;
mod process;
mod set_id;
mod socket_options;
mod sockets;
mod surface;
mod unix;
mod user_namespaces;
