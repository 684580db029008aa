// Interrupts of a VFIO device: what there are, and the eventfds that they signal.

#include <cstring>
#include <vector>

#include "arguments.h"
#include "event_file.h"
#include "operation.h"
#include "uapi/vfio.h"
#include "vfio_device_file.h"

namespace {

struct GetIrqInfoOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::vfio_irq_info command;

  int Run() { return descriptor->Ioctl(uapi::VFIO_DEVICE_GET_IRQ_INFO, &command); }
  Napi::Value Result(Napi::Env env) const {
    auto result = Napi::Object::New(env);
    result.Set("flags", Napi::Number::New(env, command.flags));
    result.Set("count", Napi::Number::New(env, command.count));
    return result;
  }
};

struct SetIrqsOperation {
  std::shared_ptr<const Descriptor> descriptor;
  uapi::vfio_irq_set command;
  std::vector<std::shared_ptr<const Descriptor>> eventfds;

  int Run() {
    command.argsz = static_cast<uint32_t>(sizeof(command) + eventfds.size() * sizeof(int32_t));
    std::vector<uint8_t> bytes(command.argsz);
    std::memcpy(bytes.data(), &command, sizeof(command));
    for (size_t i = 0; i < eventfds.size(); i++) {
      const int32_t fd = eventfds[i]->fd();
      std::memcpy(bytes.data() + sizeof(command) + i * sizeof(fd), &fd, sizeof(fd));
    }
    return descriptor->Ioctl(uapi::VFIO_DEVICE_SET_IRQS, bytes.data());
  }
  Napi::Value Result(Napi::Env env) const { return env.Undefined(); }
};

}  // namespace

// getIrqInfo(index): { flags, count }, or -errno.
Napi::Value VfioDeviceFile::GetIrqInfo(const Napi::CallbackInfo& info) {
  uapi::vfio_irq_info command = {};
  command.argsz = sizeof(command);
  command.index = arguments::Uint32(info[0], "index");
  return RunSync(info.Env(), GetIrqInfoOperation{Use(), command});
}

// setIrqs(index, action, start, count, eventfds: EventFile[]): undefined, or -errno. The action is one of
// VFIO_IRQ_SET_ACTION_*. Without eventfds it is about the interrupts themselves, and a count of 0 with
// ACTION_TRIGGER turns the index off.
Napi::Value VfioDeviceFile::SetIrqs(const Napi::CallbackInfo& info) {
  uapi::vfio_irq_set command = {};
  command.index = arguments::Uint32(info[0], "index");
  const uint32_t action = arguments::Uint32(info[1], "action");
  if (action != uapi::VFIO_IRQ_SET_ACTION_MASK && action != uapi::VFIO_IRQ_SET_ACTION_UNMASK &&
      action != uapi::VFIO_IRQ_SET_ACTION_TRIGGER) {
    arguments::ThrowOutOfRange(info[1], "action", "one of VFIO_IRQ_SET_ACTION_*");
  }
  command.start = arguments::Uint32(info[2], "start");
  command.count = arguments::Uint32(info[3], "count");
  if (!info[4].IsArray()) arguments::ThrowInvalidType(info[4], "eventfds", "an array");
  const auto list = info[4].As<Napi::Array>();
  std::vector<std::shared_ptr<const Descriptor>> eventfds;
  const uint32_t listed = list.Length();  // once: a getter in it could make it ever longer
  for (uint32_t i = 0; i < listed; i++) {
    eventfds.push_back(EventFile::FromArgument(list.Get(i), "eventfds"));
  }
  if (!eventfds.empty() && eventfds.size() != command.count)
    arguments::ThrowOutOfRange(info[4], "eventfds", "as many as count");
  command.flags =
      action | (eventfds.empty() ? uapi::VFIO_IRQ_SET_DATA_NONE : uapi::VFIO_IRQ_SET_DATA_EVENTFD);
  return RunSync(info.Env(), SetIrqsOperation{Use(), command, std::move(eventfds)});
}
