#include "arguments.h"

#include <algorithm>
#include <cstring>

namespace arguments {
namespace {

// Objects are not converted: that could run the caller's own toString.
std::string Describe(Napi::Value value) {
  if (value.IsBigInt() || value.IsNumber() || value.IsBoolean()) return value.ToString().Utf8Value();
  if (value.IsString()) return "'" + value.As<Napi::String>().Utf8Value() + "'";
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsFunction()) return "a function";
  if (value.IsSymbol()) return "a symbol";
  return "an object";
}

template <typename ErrorType>
[[noreturn]] void Throw(Napi::Value value, const char* name, const std::string& expected, const char* code) {
  ErrorType error = ErrorType::New(
      value.Env(), std::string(name) + " must be " + expected + ", received " + Describe(value));
  error.Set("code", Napi::String::New(value.Env(), code));
  throw error;
}

// One crossing into V8 reads everything.
template <typename Element>
Span<Element> TypedArray(Napi::Value value, const char* name, napi_typedarray_type type,
                         const char* expected) {
  napi_typedarray_type found;
  Span<Element> span;
  void* data;
  if (napi_get_typedarray_info(value.Env(), value, &found, &span.length, &data, nullptr, nullptr) !=
          napi_ok ||
      found != type) {
    ThrowInvalidType(value, name, expected);
  }
  span.data = static_cast<Element*>(data);
  return span;
}

}  // namespace

void ThrowInvalidType(Napi::Value value, const char* name, const std::string& expected) {
  Throw<Napi::TypeError>(value, name, expected, "ERR_INVALID_ARG_TYPE");
}

void ThrowOutOfRange(Napi::Value value, const char* name, const char* expected) {
  Throw<Napi::RangeError>(value, name, expected, "ERR_OUT_OF_RANGE");
}

std::string WithArticle(const char* name) {
  return std::string(std::strchr("AEIOU", name[0]) != nullptr ? "an " : "a ") + name;
}

void ThrowIllegalConstructor(Napi::Env env, const char* object) {
  Napi::TypeError error =
      Napi::TypeError::New(env, "Illegal constructor: only the addon makes " + WithArticle(object));
  error.Set("code", Napi::String::New(env, "ERR_ILLEGAL_CONSTRUCTOR"));
  throw error;
}

void ThrowClosed(Napi::Env env, const char* object) {
  Napi::Error error = Napi::Error::New(env, std::string(object) + " is closed");
  error.Set("code", Napi::String::New(env, "ERR_IOMMUFD_CLOSED"));
  throw error;
}

// These two are on the path of every call: one crossing into V8 reads the type and the value.

uint32_t Uint32(Napi::Value value, const char* name) {
  double number;
  if (napi_get_value_double(value.Env(), value, &number) != napi_ok)
    ThrowInvalidType(value, name, "a number");
  if (!(number >= 0 && number <= UINT32_MAX) || static_cast<uint32_t>(number) != number) {
    ThrowOutOfRange(value, name, "an integer from 0 to 4294967295");
  }
  return static_cast<uint32_t>(number);
}

uint64_t Uint64(Napi::Value value, const char* name) {
  uint64_t number;
  bool lossless;
  if (napi_get_value_bigint_uint64(value.Env(), value, &number, &lossless) != napi_ok) {
    ThrowInvalidType(value, name, "a bigint");
  }
  if (!lossless) ThrowOutOfRange(value, name, "a bigint from 0 to 2^64-1");
  return number;
}

int Fd(Napi::Value value, const char* name) {
  const uint32_t number = Uint32(value, name);
  if (number > INT32_MAX) ThrowOutOfRange(value, name, "a file descriptor");
  return static_cast<int>(number);
}

bool Boolean(Napi::Value value, const char* name) {
  if (!value.IsBoolean()) ThrowInvalidType(value, name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

Span<uint64_t> Uint64Array(Napi::Value value, const char* name) {
  return TypedArray<uint64_t>(value, name, napi_biguint64_array, "a BigUint64Array");
}

Span<uint8_t> Bytes(Napi::Value value, const char* name) {
  return TypedArray<uint8_t>(value, name, napi_uint8_array, "a Uint8Array");
}

Span<uint8_t> Buffer(Napi::Value value, const char* name) {
  Span<uint8_t> span;
  void* data;
  if (napi_get_arraybuffer_info(value.Env(), value, &data, &span.length) != napi_ok)
    ThrowInvalidType(value, name, "an ArrayBuffer");
  span.data = static_cast<uint8_t*>(data);
  return span;
}

off_t Position(Napi::Value value, const char* name) {
  const uint64_t position = Uint64(value, name);
  if (position > static_cast<uint64_t>(INT64_MAX)) ThrowOutOfRange(value, name, "below 2^63");
  return static_cast<off_t>(position);
}

std::vector<uint8_t> CopyBytes(Napi::Value value, const char* name) {
  constexpr size_t kMaxLength = 4096;
  const auto bytes = Bytes(value, name);
  if (bytes.length > kMaxLength) ThrowOutOfRange(value, name, "at most 4096 bytes");
  return std::vector<uint8_t>(bytes.begin(), bytes.end());
}

Napi::Uint8Array NewBytes(Napi::Env env, const std::vector<uint8_t>& bytes) {
  auto result = Napi::Uint8Array::New(env, bytes.size());
  std::copy(bytes.begin(), bytes.end(), result.Data());
  return result;
}

std::string Path(Napi::Value value, const char* name) {
  if (!value.IsString()) ThrowInvalidType(value, name, "a path");
  std::string path = value.As<Napi::String>().Utf8Value();
  if (path.empty() || path.find('\0') != std::string::npos) {
    ThrowOutOfRange(value, name, "a path that is not empty and has no null character");
  }
  return path;
}

}  // namespace arguments
