#include "models/config_keys.h"

namespace qsweep::models {
namespace {

using enum io::KeyUse;

constexpr io::KnownKey kPretrainedConfigKeys[] = {
    // Who wrote the file, and which class is to read it.
    {"_commit_hash", ignored},
    {"_name_or_path", ignored},
    {"architectures", ignored},
    {"name_or_path", ignored},
    {"tokenizer_class", ignored},
    {"transformers.js_config", ignored},
    {"transformers_version", ignored},
    {"unsloth_fixed", ignored},
    {"unsloth_version", ignored},
    // How the weights are held and products computed: the reference here is f32 whatever they say.
    {"quantization_config"},  // read_packing
    {"_attn_implementation", ignored},
    {"_attn_implementation_autoset", ignored},
    {"_attn_implementation_internal", ignored},
    {"attn_implementation", ignored},
    {"dtype", ignored},
    {"torch_dtype", ignored},
    {"torchscript", ignored},
    {"use_bfloat16", ignored},
    {"use_cache", ignored},
    // What is returned beside the logits.
    {"output_attentions", ignored},
    {"output_hidden_states", ignored},
    {"return_dict", ignored},
    {"return_dict_in_generate", ignored},
    // Training.
    {"attention_dropout", ignored},
    {"gradient_checkpointing", ignored},
    {"hidden_dropout", ignored},
    {"initializer_range", ignored},
    {"tf_legacy_loss", ignored},
    // Heads of other tasks.
    {"finetuning_task", ignored},
    {"id2label", ignored},
    {"label2id", ignored},
    {"num_labels", ignored},
    {"problem_type", ignored},
    {"task_specific_params", ignored},
    // Tokens that prompts are made of: data and tokenizer decide.
    {"bos_token_id", ignored},
    {"decoder_start_token_id", ignored},
    {"eos_token_id", ignored},
    {"pad_token_id", ignored},
    {"sep_token_id", ignored},
    // Generation.
    {"bad_words_ids", ignored},
    {"begin_suppress_tokens", ignored},
    {"diversity_penalty", ignored},
    {"do_sample", ignored},
    {"early_stopping", ignored},
    {"encoder_no_repeat_ngram_size", ignored},
    {"exponential_decay_length_penalty", ignored},
    {"forced_bos_token_id", ignored},
    {"forced_eos_token_id", ignored},
    {"is_decoder", ignored},
    {"length_penalty", ignored},
    {"max_length", ignored},
    {"min_length", ignored},
    {"no_repeat_ngram_size", ignored},
    {"num_beam_groups", ignored},
    {"num_beams", ignored},
    {"num_return_sequences", ignored},
    {"output_scores", ignored},
    {"remove_invalid_values", ignored},
    {"repetition_penalty", ignored},
    {"suppress_tokens", ignored},
    {"temperature", ignored},
    {"top_k", ignored},
    {"top_p", ignored},
    {"typical_p", ignored},
    // Prediction of several tokens at once: modules of their own beside the model.
    {"mtp_num_hidden_layers", ignored},
    {"num_nextn_predict_layers", ignored},
    // Features that are off.
    {"add_cross_attention", only, "false"},
    {"attn_logit_softcapping", only, "null"},
    {"chunk_size_feed_forward", only, "0"},
    {"cross_attention_hidden_size", only, "null"},
    {"embedding_multiplier", only, "1"},
    {"final_logit_softcapping", only, "null"},
    {"is_encoder_decoder", only, "false"},
    {"logit_scale", only, "1"},
    {"logits_scaling", only, "1"},
    {"prefix", only, "\"\""},
    {"pruned_heads", only, "{}"},
    {"residual_multiplier", only, "1"},
    {"tie_encoder_decoder", only, "false"},
};

}  // namespace

std::span<const io::KnownKey> pretrained_config_keys() { return kPretrainedConfigKeys; }

}  // namespace qsweep::models
