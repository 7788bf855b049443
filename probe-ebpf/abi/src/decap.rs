//! What the decapsulating program reads.

/// Which frames have their outer header taken off.
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecapSettings {
    /// The hardware address that they are sent to; all zero for any.
    pub hardware_address: [u8; 6],
    /// Zero.
    pub padding: u16,
}
