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

/**
 * Arguments: disk, offsetBytes, label. Prints {removed}. A file system with another label is left alone; a partition without one is
 * what a creation that was cut has left.
 */
export const removePartitionScript = `
$p = Get-Partition -DiskNumber $a.disk -ErrorAction SilentlyContinue | Where-Object { [long]$_.Offset -eq [long]$a.offsetBytes }
$removed = $false
if ($p) {
  $v = $p | Get-Volume -ErrorAction SilentlyContinue
  if ($v -and [string]$v.FileSystem -notin '', 'RAW' -and [string]$v.FileSystemLabel -ne [string]$a.label) { throw "the partition at $($a.offsetBytes) is not $($a.label)" }
  Remove-Partition -DiskNumber $a.disk -PartitionNumber $p.PartitionNumber -Confirm:$false
  $removed = $true
}
[pscustomobject]@{ removed = $removed } | ConvertTo-Json -Compress
`;

/**
 * GetFirmwareEnvironmentVariableExW and SetFirmwareEnvironmentVariableExW (winbase.h) need SeSystemEnvironmentPrivilege in the
 * process's token (AdjustTokenPrivileges, securitybaseapi.h). The last error is asked for in C#, before PowerShell makes calls of its
 * own. A script that needs them begins with this.
 */
const firmwareAccess = `
Add-Type -Namespace Migrate -Name Firmware -MemberDefinition @'
[StructLayout(LayoutKind.Sequential, Pack = 1)] struct Privilege { public uint Count; public long Luid; public uint Attributes; }
[DllImport("advapi32.dll", SetLastError = true)] static extern bool OpenProcessToken(IntPtr process, uint access, out IntPtr token);
[DllImport("advapi32.dll", SetLastError = true, CharSet = CharSet.Unicode)] static extern bool LookupPrivilegeValueW(string system, string name, out long luid);
[DllImport("advapi32.dll", SetLastError = true)] static extern bool AdjustTokenPrivileges(IntPtr token, bool disableAll, ref Privilege state, uint length, IntPtr previous, IntPtr returned);
[DllImport("kernel32.dll")] static extern IntPtr GetCurrentProcess();
[DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)] static extern uint GetFirmwareEnvironmentVariableExW(string name, string guid, byte[] buffer, uint size, out uint attributes);
[DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)] static extern bool SetFirmwareEnvironmentVariableExW(string name, string guid, byte[] buffer, uint size, uint attributes);
public static int TakePrivilege() {
  IntPtr token; long luid; Privilege state = new Privilege();
  if (!OpenProcessToken(GetCurrentProcess(), 0x28, out token)) return Marshal.GetLastWin32Error();
  if (!LookupPrivilegeValueW(null, "SeSystemEnvironmentPrivilege", out luid)) return Marshal.GetLastWin32Error();
  state.Count = 1; state.Luid = luid; state.Attributes = 2;
  AdjustTokenPrivileges(token, false, ref state, 0, IntPtr.Zero, IntPtr.Zero);
  return Marshal.GetLastWin32Error();
}
public static int Read(string name, string guid, byte[] buffer, out uint length, out uint attributes) {
  length = GetFirmwareEnvironmentVariableExW(name, guid, buffer, (uint)buffer.Length, out attributes);
  return length == 0 ? Marshal.GetLastWin32Error() : 0;
}
public static int Write(string name, string guid, byte[] buffer, uint attributes) {
  return SetFirmwareEnvironmentVariableExW(name, guid, buffer, (uint)buffer.Length, attributes) ? 0 : Marshal.GetLastWin32Error();
}
'@
$code = [Migrate.Firmware]::TakePrivilege()
if ($code -ne 0) { throw "taking SeSystemEnvironmentPrivilege: error $code" }
$namespace = "{$($a.namespace)}"
`;

/** Arguments: name, namespace. Prints {exists, attributes, hex}. 203 is ERROR_ENVVAR_NOT_FOUND, 122 ERROR_INSUFFICIENT_BUFFER. */
export const readFirmwareVariableScript = `${firmwareAccess}
$length = [uint32]0
$attributes = [uint32]0
$size = 4096
do {
  $buffer = New-Object byte[] $size
  $code = [Migrate.Firmware]::Read($a.name, $namespace, $buffer, [ref]$length, [ref]$attributes)
  $size *= 2
} while ($code -eq 122 -and $size -le 1048576)
if ($length -gt 0) { [pscustomobject]@{ exists = $true; attributes = [int]$attributes; hex = ([BitConverter]::ToString($buffer, 0, $length) -replace '-', '').ToLowerInvariant() } | ConvertTo-Json -Compress }
elseif ($code -eq 203) { '{"exists":false}' }
else { throw "reading the firmware variable $($a.name): error $code" }
`;

/** Arguments: name, namespace, attributes, hex. Prints {written}. */
export const writeFirmwareVariableScript = `${firmwareAccess}
$bytes = New-Object byte[] ($a.hex.Length / 2)
for ($i = 0; $i -lt $bytes.Length; $i++) { $bytes[$i] = [Convert]::ToByte($a.hex.Substring(2 * $i, 2), 16) }
$code = [Migrate.Firmware]::Write($a.name, $namespace, $bytes, [uint32]$a.attributes)
if ($code -ne 0) { throw "writing the firmware variable $($a.name): error $code" }
'{"written":true}'
`;

/** Arguments: name, namespace. Prints {deleted}. A size of 0 deletes. */
export const deleteFirmwareVariableScript = `${firmwareAccess}
$code = [Migrate.Firmware]::Write($a.name, $namespace, (New-Object byte[] 0), 7)
if ($code -ne 0 -and $code -ne 203) { throw "deleting the firmware variable $($a.name): error $code" }
[pscustomobject]@{ deleted = ($code -eq 0) } | ConvertTo-Json -Compress
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
shutdown.exe /r /t 0 | Out-Null
if ($LASTEXITCODE -ne 0) { throw "shutdown ended with status $LASTEXITCODE" }
'{"restarting":true}'
`;
