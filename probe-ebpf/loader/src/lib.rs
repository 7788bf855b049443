//! Load, attach, pin, adopt, read and change the Maglev datapath.
