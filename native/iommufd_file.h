// An open /dev/iommu, one method per ioctl. The methods are in one file per family of objects:
//
// - iommufd_ioas.cc: IOMMU_IOAS_*
// - iommufd_ioas_batch.cc: many mappings in one call
// - iommufd_hwpt.cc: IOMMU_HWPT_*, IOMMU_GET_HW_INFO
// - iommufd_viommu.cc: IOMMU_VIOMMU_ALLOC and the objects of a vIOMMU
// - iommufd_eventq.cc: fault and event queues
// - iommufd_file.cc: the rest

#pragma once

#include <memory>

#include "file.h"
#include "mapping_order.h"

struct IommufdFileState : FileState {
  static constexpr Class kClass = Class::kIommufdFile;
  static constexpr const char* kName = "IommufdFile";

  const std::shared_ptr<MappingOrder> mapping_order = std::make_shared<MappingOrder>();
};

using IommufdFile = Handle<IommufdFileState>;
