// Scripts that change a disk, a mount or the firmware's variables. Each says what is there afterwards.

/**
 * Sets $disk to the number that the disk with the GUID diskGuid has now: numbers may change between starts of Windows
 * (learn.microsoft.com, Get-Disk), so that of the plan is only for people.
 */
const findDisk = `
$found = @(Get-Disk | Where-Object { ([string]$_.Guid).Trim('{}') -eq $a.diskGuid })
if ($found.Count -ne 1) { throw "$($found.Count) disks have the GUID $($a.diskGuid), not one" }
$disk = $found[0].Number`;

/** The same, and $p is the partition of it with the GUID guid. */
const findPartition = `${findDisk}
function Ours { Get-Partition -DiskNumber $disk | Where-Object { ([string]$_.Guid).Trim('{}') -eq $a.guid } }
$p = Ours
if (-not $p) { throw "disk $disk has no partition $($a.guid)" }`;

/** Arguments: diskGuid, guid, sizeBytes. Prints {sizeBytes}. Windows may number its partitions anew; the GUID stays. */
export const resizePartitionScript = `${findPartition}
if ([long]$p.Size -ne [long]$a.sizeBytes) { Resize-Partition -DiskNumber $disk -PartitionNumber $p.PartitionNumber -Size ([long]$a.sizeBytes) }
$p = Ours
[pscustomobject]@{ sizeBytes = [long]$p.Size } | ConvertTo-Json -Compress
`;

/**
 * Arguments: diskGuid, offsetBytes, sizeBytes, typeGuid, label. Prints {number, guid, offsetBytes, sizeBytes, accessPath}. The access
 * path is that of the volume, \\\\?\\Volume{…}\\: no drive letter is taken and Explorer does not show it. A partition that could not
 * be formatted, or has not the size that undo will know it by, is removed again.
 */
export const createPartitionScript = `${findDisk}
$p = New-Partition -DiskNumber $disk -Offset ([long]$a.offsetBytes) -Size ([long]$a.sizeBytes) -GptType "{$($a.typeGuid)}"
$made = $p
try {
  if ([long]$p.Size -ne [long]$a.sizeBytes) { throw "the new partition has $($p.Size) bytes instead of $($a.sizeBytes)" }
  $p | Format-Volume -FileSystem FAT32 -NewFileSystemLabel $a.label -Force -Confirm:$false | Out-Null
  $p = Get-Partition -DiskNumber $disk | Where-Object { [long]$_.Offset -eq [long]$a.offsetBytes }
  $path = [string](@($p.AccessPaths | Where-Object { $_ -like '\\\\?\\Volume*' }) | Select-Object -First 1)
  if (-not $path) { throw 'the new partition has no volume' }
} catch {
  Remove-Partition -DiskNumber $disk -PartitionNumber $made.PartitionNumber -Confirm:$false
  throw
}
[pscustomobject]@{ number = [int]$p.PartitionNumber; guid = [string]$p.Guid; offsetBytes = [long]$p.Offset; sizeBytes = [long]$p.Size; accessPath = $path } | ConvertTo-Json -Compress
`;

/**
 * Arguments: diskGuid, offsetBytes, sizeBytes, label. Prints {removed}: false where the disk has no partition there, as where one was
 * never made. One of another size, or with a file system of another label, is not ours; one without a file system is what a creation
 * that was cut has left.
 */
export const removePartitionScript = `${findDisk}
function Ours { Get-Partition -DiskNumber $disk | Where-Object { [long]$_.Offset -eq [long]$a.offsetBytes } }
$p = Ours
$removed = $false
if ($p) {
  if ([long]$p.Size -ne [long]$a.sizeBytes) { throw "the partition at $($a.offsetBytes) has $($p.Size) bytes: it is not $($a.label), which had $($a.sizeBytes)" }
  $v = $p | Get-Volume -ErrorAction SilentlyContinue
  if ($v -and [string]$v.FileSystem -notin '', 'RAW' -and [string]$v.FileSystemLabel -ne [string]$a.label) { throw "the partition at $($a.offsetBytes) is not $($a.label)" }
  Remove-Partition -DiskNumber $disk -PartitionNumber $p.PartitionNumber -Confirm:$false
  if (Ours) { throw "the partition at $($a.offsetBytes) is still there" }
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
 * Arguments: diskGuid, guid. Prints {path, added}. The system partition's volume path is not open to programs on every Windows, so it
 * gets a drive letter for the time being, unless it has one; "mountvol X: /S" mounts only the one that Windows was started from.
 */
export const mountEspScript = `${findPartition}
$letter = ([string]$p.DriveLetter).Trim([char]0)
$added = -not $letter
if ($added) {
  $used = @([IO.DriveInfo]::GetDrives() | ForEach-Object { $_.Name.Substring(0, 1) })
  $letter = @('S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'R', 'Q', 'P') | Where-Object { $used -notcontains $_ } | Select-Object -First 1
  if (-not $letter) { throw 'no drive letter is free' }
  Add-PartitionAccessPath -DiskNumber $disk -PartitionNumber $p.PartitionNumber -AccessPath "$\{letter}:"
}
[pscustomobject]@{ path = "$\{letter}:\\"; added = $added } | ConvertTo-Json -Compress
`;

/**
 * Arguments: diskGuid, guid, path, added. Prints {unmounted}. What was written is on the medium afterwards. A letter that was there
 * before stays, also where a run of ours that was killed has left it: which of them it is, nobody can tell.
 */
export const unmountEspScript = `${findPartition}
$letter = $a.path.Substring(0, 1)
try { Write-VolumeCache -DriveLetter $letter } finally {
  if ($a.added) { Remove-PartitionAccessPath -DiskNumber $disk -PartitionNumber $p.PartitionNumber -AccessPath "$\{letter}:" }
}
[pscustomobject]@{ unmounted = [bool]$a.added } | ConvertTo-Json -Compress
`;

/**
 * Prints {restarting}. /r is a full start also where fast start is on; /s would only hibernate the kernel. Without /f a program with
 * unsaved work, or the session of someone else, would hold it up: it is implied only where /t is above 0 (learn.microsoft.com, shutdown).
 */
export const restartScript = `
shutdown.exe /r /f /t 0 | Out-Null
if ($LASTEXITCODE -ne 0) { throw "shutdown ended with status $LASTEXITCODE" }
'{"restarting":true}'
`;
