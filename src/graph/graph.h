// A model as straight code: a family describes each stage once with Builder, which records a small graph. The
// interpreters walk it and know no model.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "graph/batch.h"
#include "graph/stored_weight.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/gated.h"
#include "ops/router.h"
#include "tensor/tensor.h"

namespace qsweep::graph {

enum class Tower { vision, projector, language };
std::string_view name(Tower tower);

// What attention reads of one layer, as a cache keeps it: keys beside values, after norms and rotation.
struct CachedHeads {
  int64_t heads = 0, head_dim = 0;  // of the keys, and as many of the values
  int values_range = -1;            // which of the model's ranges is that of the values (number_ranges)

  int64_t width() const { return heads * head_dim; }  // of the keys alone
};

// What can be quantized, and what a score is about: a linear map; or a cache of keys and values, which is the
// identity, without a weight.
struct LinearOp {
  std::string name;  // canonical, whatever the checkpoint's layout
  Tower tower = Tower::language;
  std::optional<int64_t> block;
  std::string role;
  std::string fusion_group;  // ops that must share a format when served; empty: none
  StoredWeight weight;       // [out, in] (a convolution's inputs flattened)
  std::optional<StoredWeight> bias;
  std::optional<CachedHeads> cache = {};  // the op is a cache: [keys, values] to the same

  int64_t out_features() const { return cache ? 2 * cache->width() : weight.shape[0]; }
  int64_t in_features() const { return cache ? out_features() : weight.elements() / weight.shape[0]; }
  int64_t weights() const { return cache ? 0 : weight.elements(); }
  int64_t parameters() const { return weights() + (bias ? bias->elements() : 0); }
};

// What a node computes; each has its page in ops/. kName: as traces call it. vjp_reads_inputs: the gradients
// with respect to the inputs depend on their values.
struct Input {  // a value that an earlier stage left under this name
  static constexpr std::string_view kName = "input";
  static constexpr bool vjp_reads_inputs = false;
  std::string name;
};
struct Table {  // data of the samples
  static constexpr std::string_view kName = "table";
  static constexpr bool vjp_reads_inputs = false;
  std::string name;
};
struct Linear {
  static constexpr std::string_view kName = "linear";
  static constexpr bool vjp_reads_inputs = true;  // its observer does
  int op = 0;                                     // index in the model's list of ops
};
struct Cache {  // what is read of keys and values side by side; the identity where its format is float
  static constexpr std::string_view kName = "cache";
  static constexpr bool vjp_reads_inputs = true;  // its observer does
  int op = 0;                                     // index in the model's list of ops
};
struct Experts {  // sum of the chosen experts' down(gated(gate(x), up(x))), each times its weight
  static constexpr std::string_view kName = "experts";
  static constexpr bool vjp_reads_inputs = true;
  struct Expert {  // indices in the model's list of ops
    int gate = 0, up = 0, down = 0;
  };
  LinearOp router;  // [experts, in]; always float, and not in the model's list
  ops::router::Rule rule;
  ops::gated::Form form;
  std::vector<Expert> experts;
};
struct RmsNorm {
  static constexpr std::string_view kName = "rms_norm";
  static constexpr bool vjp_reads_inputs = true;
  TensorView weight;  // [n]; of every n columns
  float eps = 0;
  float offset = 0;  // what is added to the weight
};
struct LayerNorm {
  static constexpr std::string_view kName = "layer_norm";
  static constexpr bool vjp_reads_inputs = true;
  TensorView weight, bias;
  float eps = 0;
};
struct Rope {
  static constexpr std::string_view kName = "rope";
  static constexpr bool vjp_reads_inputs = false;
  std::string cos_sin;  // table
};
struct Attention {
  static constexpr std::string_view kName = "attention";
  static constexpr bool vjp_reads_inputs = true;
  ops::attention::Spec spec;
  std::string segments;
  std::string spans;                // empty: none
  std::optional<TensorView> sinks;  // [heads]
};
struct Activation {
  static constexpr std::string_view kName = "activation";
  static constexpr bool vjp_reads_inputs = true;
  ops::activation::Kind kind = {};
};
struct Gated {
  static constexpr std::string_view kName = "gated";
  static constexpr bool vjp_reads_inputs = true;
  ops::gated::Form form;
};
struct Add {
  static constexpr std::string_view kName = "add";
  static constexpr bool vjp_reads_inputs = false;
};
struct Scale {
  static constexpr std::string_view kName = "scale";
  static constexpr bool vjp_reads_inputs = false;
  float factor = 1;
};
struct Embedding {
  static constexpr std::string_view kName = "embedding";
  static constexpr bool vjp_reads_inputs = false;
  TensorView table;
};
struct Scatter {
  static constexpr std::string_view kName = "scatter";
  static constexpr bool vjp_reads_inputs = false;
  std::string index;
};
struct Gather {
  static constexpr std::string_view kName = "gather";
  static constexpr bool vjp_reads_inputs = false;
  std::string index;
};
struct Mean {  // of `factor` consecutive rows
  static constexpr std::string_view kName = "mean";
  static constexpr bool vjp_reads_inputs = false;
  int64_t factor = 1;
};
// The columns of merged rows: one row after the other, or all rows' first ones, all rows' second ones and so
// on.
enum class MergeOrder { rows_first, channels_first };
struct Merge {  // `factor` consecutive rows side by side
  static constexpr std::string_view kName = "merge";
  static constexpr bool vjp_reads_inputs = false;
  int64_t factor = 1;
  MergeOrder order = MergeOrder::rows_first;
};
struct Columns {
  static constexpr std::string_view kName = "columns";
  static constexpr bool vjp_reads_inputs = false;
  int64_t first = 0;
};
struct Join {  // columns side by side
  static constexpr std::string_view kName = "join";
  static constexpr bool vjp_reads_inputs = false;
};
using Operation =
    std::variant<Input, Table, Linear, Cache, Experts, RmsNorm, LayerNorm, Rope, Attention, Activation, Gated,
                 Add, Scale, Embedding, Scatter, Gather, Mean, Merge, Columns, Join>;

std::string_view name(const Operation& operation);
bool vjp_reads_inputs(const Operation& operation);

struct Node {
  Operation operation;
  std::vector<int> inputs;  // earlier nodes of the stage
  Rows rows = Rows::tokens;
  int64_t cols = 0;
};

// The ops of a node, as indices in the model's list.
std::vector<int> ops_of(const Node& node);
// Whether the node is one op's: a linear map, or a cache.
bool is_op(const Node& node);

// Every op's input has a range, of which calibrated formats make scales; that of a cache has two. Those of
// the ops' inputs, or of a cache's keys, stand in the order of the ops, and behind them those of values.
// number_ranges gives the latter their places.
void number_ranges(std::vector<LinearOp>& ops);
size_t count_ranges(std::span<const LinearOp> ops);

// The unit that is loaded, computed and dropped.
struct Stage {
  std::string name;
  std::vector<Node> nodes;
  std::vector<std::pair<std::string, int>> outputs;  // what it leaves, under which name
  std::vector<std::string> consumes;                 // inputs that no later stage reads (resolve_lifetimes)
  std::vector<TensorView> weights;  // everything it reads from the checkpoint, embeddings excepted
  std::vector<TensorView> tables;   // embeddings, of which it reads some rows
};

// What a norm multiplies by: its weight, or 1 plus it.
enum class NormWeight { as_stored, one_plus };

class Builder {
 public:
  struct Value {
    int node = -1;
  };

  // `ops` is the model's list; linear() appends to it.
  Builder(std::string stage_name, std::vector<LinearOp>& ops) : ops_(ops) {
    stage_.name = std::move(stage_name);
  }

  Value input(const std::string& name, Rows rows, int64_t cols);
  Value table(const std::string& name, Rows rows, int64_t cols);
  Value linear(Value x, LinearOp op);
  // The linear ops of one expert.
  struct ExpertOps {
    LinearOp gate, up, down;
  };
  Value experts(Value x, LinearOp router, const ops::router::Rule& rule, const ops::gated::Form& form,
                std::vector<ExpertOps> experts);
  // Of every weight.elements() columns.
  Value rms_norm(Value x, TensorView weight, double eps, NormWeight form = NormWeight::as_stored);
  Value layer_norm(Value x, TensorView weight, TensorView bias, double eps);
  Value rope(Value x, const std::string& cos_sin_table);
  Value attention(Value q, Value k, Value v, const ops::attention::Spec& spec, const std::string& segments,
                  const std::string& spans = "", std::optional<TensorView> sinks = {});
  Value activation(Value x, ops::activation::Kind kind);
  Value gated(Value gate, Value up, ops::activation::Kind kind);
  Value add(Value a, Value b);
  Value scale(Value x, double factor);
  Value embedding(TensorView table);
  Value scatter(Value tokens, Value features, const std::string& index);
  // x + features in the rows that the index names, x in the others.
  Value scatter_add(Value x, Value features, const std::string& index);
  Value gather(Value x, const std::string& index) { return gather(x, index, at(x).rows); }
  Value gather(Value x, const std::string& index, Rows gathered);
  Value mean(Value x, int64_t factor, Rows means);
  Value merge(Value x, int64_t factor, Rows merged, MergeOrder order = MergeOrder::rows_first);
  Value columns(Value x, int64_t first, int64_t count);
  Value join(Value a, Value b);
  // The keys and values that attention reads of the cache `op`.
  std::pair<Value, Value> cache(Value k, Value v, LinearOp op);
  void output(const std::string& name, Value x);
  // Tables of the samples are made of some rows of this tensor.
  void reads(const TensorView& table) { stage_.tables.push_back(table); }

  Stage build() { return std::move(stage_); }

  int64_t cols(Value x) const { return at(x).cols; }

 private:
  const Node& at(Value x) const { return stage_.nodes[static_cast<size_t>(x.node)]; }
  void read(const StoredWeight& weight);
  Value push(Operation operation, std::vector<int> inputs, Rows rows, int64_t cols);
  void read(const LinearOp& op);
  int push_op(LinearOp op);  // its index

  Stage stage_;
  std::vector<LinearOp>& ops_;
};

}  // namespace qsweep::graph
