-- Orthanc hands each radiograph to Carina. Carina's own answers are SR and OT, so that they do not come round again.
function OnStoredInstance(instanceId, tags, metadata)
  if tags['Modality'] == 'CR' or tags['Modality'] == 'DX' then
    SendToModality(instanceId, 'carina')
  end
end
