// Scripts that change a disk, a mount or the firmware's variables. Each says what is there afterwards.

/** Arguments: disk, partition (numbers), guid, sizeBytes. Prints {sizeBytes}. Windows may number its partitions anew; the GUID stays. */
export const resizePartitionScript = `
function Ours { Get-Partition -DiskNumber $a.disk | Where-Object { ([string]$_.Guid).Trim('{}') -eq $a.guid } }
$p = Ours
if (-not $p) { throw "disk $($a.disk) has no partition $($a.guid)" }
if ([long]$p.Size -ne [long]$a.sizeBytes) { Resize-Partition -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -Size ([long]$a.sizeBytes) }
$p = Ours
[pscustomobject]@{ sizeBytes = [long]$p.Size } | ConvertTo-Json -Compress
`;

/**
 * Arguments: disk, offsetBytes, sizeBytes, typeGuid, label. Prints {number, guid, offsetBytes, sizeBytes, accessPath}. The access
 * path is that of the volume, \\\\?\\Volume{…}\\: no drive letter is taken and Explorer does not show it. A partition that could not
 * be formatted is removed again.
 */
export const createPartitionScript = `
$p = New-Partition -DiskNumber $a.disk -Offset ([long]$a.offsetBytes) -Size ([long]$a.sizeBytes) -GptType "{$($a.typeGuid)}"
try {
  $p | Format-Volume -FileSystem FAT32 -NewFileSystemLabel $a.label -Force -Confirm:$false | Out-Null
  $p = Get-Partition -DiskNumber $a.disk | Where-Object { [long]$_.Offset -eq [long]$a.offsetBytes }
  $path = [string](@($p.AccessPaths | Where-Object { $_ -like '\\\\?\\Volume*' }) | Select-Object -First 1)
  if (-not $path) { throw 'the new partition has no volume' }
} catch {
  Remove-Partition -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -Confirm:$false
  throw
}
[pscustomobject]@{ number = [int]$p.PartitionNumber; guid = [string]$p.Guid; offsetBytes = [long]$p.Offset; sizeBytes = [long]$p.Size; accessPath = $path } | ConvertTo-Json -Compress
`;

/** Arguments: disk, offsetBytes, label. Prints {removed}. A partition with another label is left alone. */
export const removePartitionScript = `
$p = Get-Partition -DiskNumber $a.disk -ErrorAction SilentlyContinue | Where-Object { [long]$_.Offset -eq [long]$a.offsetBytes }
$removed = $false
if ($p) {
  $v = $p | Get-Volume -ErrorAction SilentlyContinue
  if ([string]$v.FileSystemLabel -ne [string]$a.label) { throw "the partition at $($a.offsetBytes) is not $($a.label)" }
  Remove-Partition -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -Confirm:$false
  $removed = $true
}
[pscustomobject]@{ removed = $removed } | ConvertTo-Json -Compress
`;

/**
 * GetFirmwareEnvironmentVariableExW and SetFirmwareEnvironmentVariableExW (winbase.h) need SeSystemEnvironmentPrivilege in the
 * process's token (AdjustTokenPrivileges, securitybaseapi.h). A script that needs them begins with this.
 */
const firmwareAccess = `
Add-Type -Namespace Migrate -Name Firmware -MemberDefinition @'
[StructLayout(LayoutKind.Sequential, Pack = 1)] public struct Privilege { public uint Count; public long Luid; public uint Attributes; }
[DllImport("advapi32.dll", SetLastError = true)] public static extern bool OpenProcessToken(IntPtr process, uint access, out IntPtr token);
[DllImport("advapi32.dll", SetLastError = true, CharSet = CharSet.Unicode)] public static extern bool LookupPrivilegeValueW(string system, string name, out long luid);
[DllImport("advapi32.dll", SetLastError = true)] public static extern bool AdjustTokenPrivileges(IntPtr token, bool disableAll, ref Privilege state, uint length, IntPtr previous, IntPtr returned);
[DllImport("kernel32.dll")] public static extern IntPtr GetCurrentProcess();
[DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)] public static extern uint GetFirmwareEnvironmentVariableExW(string name, string guid, byte[] buffer, uint size, out uint attributes);
[DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)] public static extern bool SetFirmwareEnvironmentVariableExW(string name, string guid, byte[] buffer, uint size, uint attributes);
'@
$token = [IntPtr]::Zero
$state = New-Object Migrate.Firmware+Privilege
$luid = [long]0
if (-not [Migrate.Firmware]::OpenProcessToken([Migrate.Firmware]::GetCurrentProcess(), 0x28, [ref]$token)) { throw "OpenProcessToken: error $([Runtime.InteropServices.Marshal]::GetLastWin32Error())" }
if (-not [Migrate.Firmware]::LookupPrivilegeValueW($null, 'SeSystemEnvironmentPrivilege', [ref]$luid)) { throw "LookupPrivilegeValue: error $([Runtime.InteropServices.Marshal]::GetLastWin32Error())" }
$state.Count = 1; $state.Luid = $luid; $state.Attributes = 2
$adjusted = [Migrate.Firmware]::AdjustTokenPrivileges($token, $false, [ref]$state, 0, [IntPtr]::Zero, [IntPtr]::Zero)
$code = [Runtime.InteropServices.Marshal]::GetLastWin32Error()
if (-not $adjusted -or $code -ne 0) { throw "SeSystemEnvironmentPrivilege: error $code" }
$namespace = "{$($a.namespace)}"
`;

/** Arguments: name, namespace. Prints {exists, attributes, hex}. 203 is ERROR_ENVVAR_NOT_FOUND, 122 ERROR_INSUFFICIENT_BUFFER. */
export const readFirmwareVariableScript = `${firmwareAccess}
$attributes = [uint32]0
$size = 4096
do {
  $buffer = New-Object byte[] $size
  $length = [Migrate.Firmware]::GetFirmwareEnvironmentVariableExW($a.name, $namespace, $buffer, $size, [ref]$attributes)
  $code = [Runtime.InteropServices.Marshal]::GetLastWin32Error()
  $again = ($length -eq 0 -and $code -eq 122 -and $size -lt 1048576)
  if ($again) { $size *= 2 }
} while ($again)
if ($length -gt 0) { [pscustomobject]@{ exists = $true; attributes = [int]$attributes; hex = ([BitConverter]::ToString($buffer, 0, $length) -replace '-', '').ToLowerInvariant() } | ConvertTo-Json -Compress }
elseif ($code -eq 203) { '{"exists":false}' }
else { throw "reading the firmware variable $($a.name): error $code" }
`;

/** Arguments: name, namespace, attributes, hex. Prints {written}. */
export const writeFirmwareVariableScript = `${firmwareAccess}
$bytes = New-Object byte[] ($a.hex.Length / 2)
for ($i = 0; $i -lt $bytes.Length; $i++) { $bytes[$i] = [Convert]::ToByte($a.hex.Substring(2 * $i, 2), 16) }
if (-not [Migrate.Firmware]::SetFirmwareEnvironmentVariableExW($a.name, $namespace, $bytes, $bytes.Length, [uint32]$a.attributes)) { throw "writing the firmware variable $($a.name): error $([Runtime.InteropServices.Marshal]::GetLastWin32Error())" }
'{"written":true}'
`;

/** Arguments: name, namespace. Prints {deleted}. A size of 0 deletes. */
export const deleteFirmwareVariableScript = `${firmwareAccess}
$done = [Migrate.Firmware]::SetFirmwareEnvironmentVariableExW($a.name, $namespace, (New-Object byte[] 0), 0, 7)
$code = [Runtime.InteropServices.Marshal]::GetLastWin32Error()
if (-not $done -and $code -ne 203) { throw "deleting the firmware variable $($a.name): error $code" }
[pscustomobject]@{ deleted = $done } | ConvertTo-Json -Compress
`;

/**
 * Arguments: disk, guid. Prints {path}. The system partition's volume path is not open to programs on every Windows, so it gets a
 * drive letter for the time being; "mountvol X: /S" mounts only the one that Windows was started from.
 */
export const mountEspScript = `
$p = Get-Partition -DiskNumber $a.disk | Where-Object { ([string]$_.Guid).Trim('{}') -eq $a.guid }
if (-not $p) { throw "disk $($a.disk) has no partition $($a.guid)" }
$used = @([IO.DriveInfo]::GetDrives() | ForEach-Object { $_.Name.Substring(0, 1) })
$letter = @('S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'R', 'Q', 'P') | Where-Object { $used -notcontains $_ } | Select-Object -First 1
if (-not $letter) { throw 'no drive letter is free' }
Add-PartitionAccessPath -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -AccessPath "$\{letter}:"
[pscustomobject]@{ path = "$\{letter}:\\" } | ConvertTo-Json -Compress
`;

/** Arguments: disk, guid, path. Prints {unmounted}. What was written is on the medium afterwards. */
export const unmountEspScript = `
$letter = $a.path.Substring(0, 1)
Write-VolumeCache -DriveLetter $letter
$p = Get-Partition -DiskNumber $a.disk | Where-Object { ([string]$_.Guid).Trim('{}') -eq $a.guid }
Remove-PartitionAccessPath -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -AccessPath "$\{letter}:"
'{"unmounted":true}'
`;

/** Prints {restarting}. /r is a full start also where fast start is on; /s would only hibernate the kernel. */
export const restartScript = `
shutdown.exe /r /t 0
if ($LASTEXITCODE -ne 0) { throw "shutdown ended with status $LASTEXITCODE" }
'{"restarting":true}'
`;
