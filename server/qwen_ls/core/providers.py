"""The catalogue: whom a key belongs to, where it may go, which model comes first.

Figures are facts of the providers' own documentation; base URLs are the OpenAI-compatible ones.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Provider:
    """An OpenAI-compatible service. `base_url` is its default region, `others` its further ones."""

    id: str
    label: str
    base_url: str
    key_variable: str | None = None
    default_model: str | None = None
    others: tuple[str, ...] = ()
    key_prefix: str = ""

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Every base URL the catalogue knows for this provider, the default first."""
        return (self.base_url, *self.others)


OPENAI = Provider("openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-4o")
DASHSCOPE = Provider(
    "dashscope",
    "Alibaba Cloud Model Studio",
    "https://dashscope.aliyuncs.com/compatible-mode/v1",  # Beijing
    "DASHSCOPE_API_KEY",
    "qwen3-coder-plus",
    (
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",  # Singapore
        "https://dashscope-us.aliyuncs.com/compatible-mode/v1",  # Virginia
    ),
)
CODING_PLAN = Provider(
    "coding-plan",
    "Alibaba Cloud Coding Plan",
    "https://coding.dashscope.aliyuncs.com/v1",  # China
    "BAILIAN_CODING_PLAN_API_KEY",
    "qwen3-coder-plus",
    ("https://coding-intl.dashscope.aliyuncs.com/v1",),
    key_prefix="sk-sp-",
)
QWEN_PORTAL = Provider("qwen", "Qwen", "https://portal.qwen.ai/v1", None, "coder-model")

# In the order in which a provider's own variable is looked for (OPENAI_API_KEY comes before all).
CATALOGUE: tuple[Provider, ...] = (
    OPENAI,
    DASHSCOPE,
    CODING_PLAN,
    Provider(
        "modelscope",
        "ModelScope",
        "https://api-inference.modelscope.cn/v1",
        "MODELSCOPE_API_KEY",
        "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    ),
    Provider(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "qwen/qwen3-coder",
        key_prefix="sk-or-",
    ),
    Provider("fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    Provider("deepseek", "DeepSeek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", "deepseek-chat"),
    # No variable of its own: the base URL holds the resource's name, so it is always set by hand.
    Provider("azure", "Azure OpenAI", "https://{resource}.openai.azure.com/openai/v1"),
)

CUSTOM = Provider("custom", "OpenAI-compatible server", "")

# Offered when they answer; they need no key.
LOCAL_SERVERS: tuple[Provider, ...] = (
    Provider("ollama", "Ollama", "http://127.0.0.1:11434/v1"),
    Provider("lm-studio", "LM Studio", "http://127.0.0.1:1234/v1"),
    Provider("llama.cpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
    Provider("vllm", "vLLM", "http://127.0.0.1:8000/v1"),
)

KEY_VARIABLES: tuple[str, ...] = tuple(p.key_variable for p in CATALOGUE if p.key_variable is not None)

# The only names that are ever read, from the process or from a file.
KNOWN_NAMES: tuple[str, ...] = (
    *KEY_VARIABLES,
    "OPENAI_BASE_URL",
    "OPENAI_MODEL",
    "QWEN_MODEL",
    "DEBUG",
    "DEBUG_MODE",
)


def provider_of_key(key: str) -> Provider:
    """Where OPENAI_API_KEY goes when no base URL is set: by the key's own prefix, else OpenAI."""
    return CODING_PLAN if key.startswith(CODING_PLAN.key_prefix) else OPENAI


def provider_of_url(base_url: str) -> Provider:
    """The provider whose base URL this is; CUSTOM for a host that the catalogue does not know."""
    plain = base_url.rstrip("/")
    return next((p for p in (*CATALOGUE, *LOCAL_SERVERS) if plain in p.base_urls), CUSTOM)


def provider_named(id_: str) -> Provider | None:
    """The provider of the catalogue with this id, local servers and `custom` among them."""
    return next((p for p in (*CATALOGUE, *LOCAL_SERVERS, CUSTOM) if p.id == id_), None)
