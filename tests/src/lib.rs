//! End-to-end tests: hosts in network namespaces, terminals on ptys, golden vectors.
