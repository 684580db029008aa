// A dma-buf: memory of a device as a file, which the IOMMU can be made to map for other devices.

#pragma once

#include "file.h"

struct DmaBufState : FileState {
  static constexpr Class kClass = Class::kDmaBuf;
  static constexpr const char* kName = "DmaBuf";
};

using DmaBuf = Handle<DmaBufState>;
