//! The attributes and derives of `millstream-sdk`.
