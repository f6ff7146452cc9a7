// README.md of an export: what the choice costs, and how the tool is given it.
#include <algorithm>
#include <map>

#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

// How a kind's files are applied; `model` is a model that transformers has loaded, in float.
struct Application {
  Kind kind;
  std::string_view text;
};
constexpr Application kApplications[] = {
    {Kind::modelopt, R"(```python
import modelopt.torch.quantization as mtq
from modelopt.recipe import load_recipe
config = load_recipe("modelopt_recipe.yaml").quantize.model_dump()
model = mtq.quantize(model, config, forward_loop)  # forward_loop(model) runs your calibration samples
```

Do not append ModelOpt's `default_disabled_quantizers`: they turn vision tower and head off again.
)"},
    {Kind::hf_quant_config,
     R"(These files describe weights that ModelOpt has packed so. Put them beside the weights of such a checkpoint:
`hf_quant_config.json` is what vLLM and SGLang read, `quant_cfg.json` what older versions of TensorRT-LLM read beside it.
A `quantization_config` in config.json wins over them.

```sh
cp hf_quant_config.json quant_cfg.json CHECKPOINT/
vllm serve CHECKPOINT
```
)"},
    {Kind::llm_compressor, R"(```python
from llmcompressor import oneshot
oneshot(model=model, recipe="recipe.yaml", dataset=samples, num_calibration_samples=len(samples))
model.save_pretrained("quantized", save_compressed=True)  # vllm serve quantized
```

Samples must reach every op whose inputs are calibrated: with images, if ops of the vision tower are among them.
)"},
    {Kind::compressed_tensors,
     R"(`quantization_config.json` is the `quantization_config` of a checkpoint's config.json. It describes weights that a
tool has packed so, and quantizes nothing by itself; the kind `llm-compressor` does.

```python
import json
config = json.load(open("CHECKPOINT/config.json"))
config["quantization_config"] = json.load(open("quantization_config.json"))
json.dump(config, open("CHECKPOINT/config.json", "w"), indent=1)
```
)"},
    {Kind::auto_round, R"(```python
import json
from auto_round import AutoRound
rounder = AutoRound(model, tokenizer, scheme="INT8", layer_config=json.load(open("layer_config.json")),
                    quant_nontext_module=True)  # iters=0, disable_opt_rtn=True: rounds to nearest, as the scores do
rounder.quantize_and_save("quantized")
```

Keep `scheme="INT8"`: other schemes turn layers of awkward shapes to 16 bits, against this file.
)"},
    {Kind::inc, R"(```python
import json
from neural_compressor import PostTrainingQuantConfig, quantization
config = PostTrainingQuantConfig(approach="static", quant_level=1, op_name_dict=json.load(open("op_name_dict.json")))
model = quantization.fit(model, config, calib_dataloader=samples)
```
)"},
    {Kind::llama_cpp, R"(```sh
llama-quantize --pure --token-embedding-type bf16 --tensor-type-file tensor-types.txt model.gguf out.gguf q8_0
llama-quantize --pure --tensor-type-file tensor-types-mmproj.txt mmproj.gguf mmproj-out.gguf q8_0
```

The base type must be a quantized one, else the file is ignored; no tensor of an op depends on it. Without
`tensor-types-mmproj.txt` leave the vision tower's file as it is. Older versions ignore types that equal the base type.
)"},
    {Kind::torchao, R"(```python
import json
from torchao.core.config import config_from_dict
from torchao.quantization import quantize_
quantize_(model, config_from_dict(json.load(open("torchao_config.json"))), filter_fn=None)
```
)"},
};

std::string_view application(Kind kind) {
  return std::ranges::find(kApplications, kind, &Application::kind)->text;
}

std::string formats_line(const Model& model, const Choice& choice) {
  std::map<std::string_view, int64_t> counts;
  for (const quant::Format* format : choice.formats) ++counts[format == nullptr ? "float" : format->name];
  std::string text;
  for (const auto& [format, ops] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", ops, format);
  return fmt::format("{} ops: {}", model.ops.size(), text);
}

std::string error_line(const std::optional<double>& error) {
  return error ? fmt::format("{:.6g}", *error) : std::string("not known");
}

}  // namespace

std::string readme(Kind kind, const Model& model, const Choice& choice,
                   const std::vector<std::string>& warnings) {
  std::string text = fmt::format("# {}, for {}\n\n", choice.name, stack(kind).tool);
  text += fmt::format("| | |\n|---|---|\n| model | {} |\n| formats | {} |\n", model.family,
                      formats_line(model, choice));
  text += fmt::format("| bits per weight | {:.4f}, with scales, over all ops; float counts 16 |\n",
                      effective_bits(model, choice.formats));
  text += fmt::format("| {} per position, predicted | {} |\n", choice.metric, error_line(choice.predicted));
  text += fmt::format("| {} per position, measured | {} |\n", choice.metric, error_line(choice.measured));
  text += fmt::format("| checked with | {} |\n\n", stack(kind).versions);
  text +=
      "qsweep chose these formats. `recipe.json` has them as `qsweep eval --recipe` reads them. Their errors "
      "are those of\n"
      "weights that are rounded to nearest; how the tool rounds them is its own affair.\n\n## How to apply "
      "it\n\n";
  text += application(kind);
  if (warnings.empty()) return text;
  text += "\n## Warnings\n\n";
  for (const std::string& warning : warnings) text += "- " + warning + "\n";
  return text;
}

}  // namespace qsweep::stacks
