// Products on the CPU, through oneDNN.
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/team.h"
#include "kernels/gemm_backend.h"
#include "kernels/onednn.h"

namespace qsweep::kernels {
namespace {

dnnl::memory::data_type onednn_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    case DType::i8:
      return dnnl::memory::data_type::s8;
    case DType::u8:
      return dnnl::memory::data_type::u8;
    case DType::i32:
      return dnnl::memory::data_type::s32;
    default:
      QSWEEP_CHECK(false, "no product of {}", name(dtype));
      return dnnl::memory::data_type::undef;
  }
}

dnnl::memory::desc descriptor(const GemmOperand& m) { return {m.sizes, onednn_type(m.dtype), m.strides}; }

// What makes two products the same primitive.
std::vector<int64_t> cache_key(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                               const GemmOptions& options) {
  std::vector<int64_t> key{options.bias != nullptr, options.accumulate};
  for (const GemmOperand* m : {&a, &b, &c}) {
    key.push_back(static_cast<int64_t>(m->dtype));
    key.insert(key.end(), m->sizes.begin(), m->sizes.end());
    key.insert(key.end(), m->strides.begin(), m->strides.end());
  }
  return key;
}

class OneDnnBackend final : public GemmBackend {
 public:
  // oneDNN deals out a product to as many threads as it expects; what falls to one that is never given stays
  // undone.
  explicit OneDnnBackend(Threads threads) : threads_{team_size(threads)} {
    dnnl::set_primitive_cache_capacity(0);  // oneDNN would keep a thousand more
  }

  void multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                const GemmOptions& options) override;

 private:
  struct Primitive {
    dnnl::matmul::primitive_desc descriptor;
    dnnl::matmul matmul;
  };
  // Each product brings its own machine code, some 100 KiB, and the number of shapes is bounded only by the
  // data: start anew at this many. Making one takes 0.1 ms.
  static constexpr size_t kMaxPrimitives = 128;

  Threads threads_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<std::vector<int64_t>, Primitive> primitives_;
  Tensor scratch_;
};

void OneDnnBackend::multiply(const GemmOperand& a, const GemmOperand& b, const GemmOperand& c,
                             const GemmOptions& options) {
  set_team(threads_);  // oneDNN's team is the caller's
  const auto key = cache_key(a, b, c, options);
  auto found = primitives_.find(key);
  if (found == primitives_.end()) {
    if (primitives_.size() >= kMaxPrimitives) primitives_.clear();
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (options.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    std::optional<dnnl::memory::desc> bias;
    if (options.bias != nullptr) {
      std::vector<int64_t> sizes(c.sizes.size(), 1), strides(c.sizes.size(), c.sizes.back());
      sizes.back() = c.sizes.back();
      strides.back() = 1;
      bias.emplace(sizes, dnnl::memory::data_type::f32, strides);
    }
    const auto pd = matmul_descriptor(engine_, descriptor(a), descriptor(b), bias, descriptor(c), attributes);
    found = primitives_.emplace(key, Primitive{pd, dnnl::matmul(pd)}).first;
  }

  const Primitive& primitive = found->second;
  const auto scratch_bytes = static_cast<int64_t>(primitive.descriptor.scratchpad_desc().get_size());
  if (scratch_bytes > 0 && (scratch_.empty() || scratch_.size_bytes() < scratch_bytes))
    scratch_ = Tensor(DType::u8, {scratch_bytes});
  const auto memory = [&](const dnnl::memory::desc& desc, void* data) {
    return dnnl::memory(desc, engine_, data);
  };
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, memory(primitive.descriptor.src_desc(), a.data)},
      {DNNL_ARG_WEIGHTS, memory(primitive.descriptor.weights_desc(), b.data)},
      {DNNL_ARG_DST, memory(primitive.descriptor.dst_desc(), c.data)},
      {DNNL_ARG_SCRATCHPAD, memory(primitive.descriptor.scratchpad_desc(), scratch_.bytes())}};
  if (options.bias != nullptr)
    arguments.emplace(DNNL_ARG_BIAS,
                      memory(primitive.descriptor.bias_desc(), const_cast<float*>(options.bias)));
  primitive.matmul.execute(stream_, arguments);
  stream_.wait();
}

}  // namespace

std::unique_ptr<GemmBackend> onednn_backend(Threads threads) {
  return std::make_unique<OneDnnBackend>(threads);
}

}  // namespace qsweep::kernels
