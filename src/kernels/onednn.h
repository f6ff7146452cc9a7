// The one place that knows whether oneDNN is 2.x or 3.x.
#pragma once

#include <optional>

#include <dnnl.hpp>

namespace qsweep::kernels {

// The primitive descriptor of c = a b (+ bias), whose attributes may differ between versions only here.
inline dnnl::matmul::primitive_desc matmul_descriptor(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                                      const dnnl::memory::desc& b,
                                                      const std::optional<dnnl::memory::desc>& bias,
                                                      const dnnl::memory::desc& c,
                                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {engine, a, b, *bias, c, attributes};
  return {engine, a, b, c, attributes};
#else
  if (bias) return {dnnl::matmul::desc(a, b, *bias, c), attributes, engine};
  return {dnnl::matmul::desc(a, b, c), attributes, engine};
#endif
}

}  // namespace qsweep::kernels
