// The parts of Cornerstone3D that the reading page uses.
export { Enums, RenderingEngine, cache, eventTarget, imageLoader, init, metaData, utilities } from '@cornerstonejs/core';
export { Enums as ToolEnums, PanTool, ToolGroupManager, WindowLevelTool, ZoomTool, addTool, init as initTools } from '@cornerstonejs/tools';
