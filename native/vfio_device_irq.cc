// Interrupts of a VFIO device: what there are, and the eventfds that they signal.

#include <cstring>
#include <vector>

#include "arguments.h"
#include "event_file.h"
#include "operation.h"
#include "uapi/vfio.h"
#include "vfio_device_file.h"

namespace {

// getIrqInfo(index): { flags, count }, or -errno.
Napi::Value GetIrqInfo(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
  auto command = Command<uapi::vfio_irq_info>();
  command.index = arguments::Uint32(info[0], "index");
  const int status = file.Use()->Ioctl(uapi::VFIO_DEVICE_GET_IRQ_INFO, &command);
  if (status < 0) return Status(info.Env(), status);
  auto result = Napi::Object::New(info.Env());
  result.Set("flags", Napi::Number::New(info.Env(), command.flags));
  result.Set("count", Napi::Number::New(info.Env(), command.count));
  return result;
}

const VfioDeviceFile::Method<GetIrqInfo> get_irq_info("getIrqInfo");

// setIrqs(index, action, start, count, eventfds: EventFile[]): undefined, or -errno. The action is one of
// VFIO_IRQ_SET_ACTION_*. Without eventfds it is about the interrupts themselves, and a count of 0 with
// ACTION_TRIGGER turns the index off.
Napi::Value SetIrqs(VfioDeviceFile& file, const Napi::CallbackInfo& info) {
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
  std::vector<std::shared_ptr<const Descriptor>> eventfds;  // shares: a getter may close what came before it
  const uint32_t listed = list.Length();                    // once: a getter in it could make it ever longer
  for (uint32_t i = 0; i < listed; i++) {
    eventfds.push_back(EventFile::FromArgument(list.Get(i), "eventfds"));
  }
  if (!eventfds.empty() && eventfds.size() != command.count)
    arguments::ThrowOutOfRange(info[4], "eventfds", "as many as count");
  command.flags =
      action | (eventfds.empty() ? uapi::VFIO_IRQ_SET_DATA_NONE : uapi::VFIO_IRQ_SET_DATA_EVENTFD);
  command.argsz = static_cast<uint32_t>(sizeof(command) + eventfds.size() * sizeof(int32_t));
  std::vector<uint8_t> bytes(command.argsz);
  std::memcpy(bytes.data(), &command, sizeof(command));
  for (size_t i = 0; i < eventfds.size(); i++) {
    const int32_t fd = eventfds[i]->fd();
    std::memcpy(bytes.data() + sizeof(command) + i * sizeof(fd), &fd, sizeof(fd));
  }
  return Answer(info.Env(), file.Use()->Ioctl(uapi::VFIO_DEVICE_SET_IRQS, bytes.data()));
}

const VfioDeviceFile::Method<SetIrqs> set_irqs("setIrqs");

}  // namespace
