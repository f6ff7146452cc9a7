#include "report/pictures.h"

#include <memory>

#include <duktape.h>

#include "base/error.h"
#include "io/json.h"
#include "report/assets.h"

namespace qsweep::report {
namespace {

struct DestroyHeap {
  void operator()(duk_context* context) const { duk_destroy_heap(context); }
};
using Heap = std::unique_ptr<duk_context, DestroyHeap>;

// What the script expects of a browser. Nothing is drawn later, so timers never fire.
constexpr std::string_view kSurroundings =
    "var globalThis = this, global = this;"
    "function setTimeout() { return 0; }"
    "function clearTimeout() {}";

// The engine's own message is what went wrong in our script, so a defect of the program.
void require(duk_context* context, duk_int_t status) {
  QSWEEP_CHECK(status == 0, "drawing: {}", duk_safe_to_stacktrace(context, -1));
}

void run_script(duk_context* context, std::string_view script) {
  require(context, duk_peval_lstring(context, script.data(), script.size()));
  duk_pop(context);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> pictures(const io::Json& view) {
  const Heap heap(duk_create_heap_default());
  QSWEEP_CHECK(heap != nullptr, "no memory for drawing");
  duk_context* context = heap.get();
  run_script(context, kSurroundings);
  run_script(context, kPictureScript);
  const std::string text = view.dump(-1, ' ', true, io::Json::error_handler_t::replace);
  duk_get_global_string(context, "pictures");
  duk_push_lstring(context, text.data(), text.size());
  require(context, duk_pcall(context, 1));
  duk_size_t length = 0;
  const char* drawn = duk_get_lstring(context, -1, &length);
  QSWEEP_CHECK(drawn != nullptr, "drawing gave no text");
  std::vector<std::pair<std::string, std::string>> files;
  const io::Json list = io::parse_json(std::string_view(drawn, length), "the drawings");
  for (const auto& [file, svg] : list.items()) files.emplace_back(file, svg.get<std::string>());
  return files;
}

}  // namespace qsweep::report
