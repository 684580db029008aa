// An open VFIO device (/dev/vfio/devices/vfioN), one method per ioctl. The methods are in one file per
// family: vfio_device_region.cc (regions), vfio_device_irq.cc (interrupts), vfio_device_feature.cc
// (VFIO_DEVICE_FEATURE) and vfio_device_file.cc (the rest).

#pragma once

#include "file.h"

struct VfioDeviceFileState : FileState {
  static constexpr Class kClass = Class::kVfioDeviceFile;
  static constexpr const char* kName = "VfioDeviceFile";
};

using VfioDeviceFile = Handle<VfioDeviceFileState>;
