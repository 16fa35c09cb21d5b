// Scripts that only look. Every property has a name of ours, numbers are numbers and enumerations text, so that neither the
// language of Windows nor the version of PowerShell shows in what they print; what cannot be asked is null.

/**
 * PEFirmwareType may be absent; the environment's firmware_type is "UEFI" or "Legacy". BatteryStatus (Win32_Battery): 1 discharges, and
 * so do 4 (low) and 5 (critical), which have twins of their own for a battery that is charged.
 */
export const readSystemScript = `
function Registry($path, $name) { try { (Get-ItemProperty -LiteralPath $path -Name $name).$name } catch { $null } }
$control = 'HKLM:\\SYSTEM\\CurrentControlSet\\Control'
$nt = 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion'
$system = Get-CimInstance Win32_OperatingSystem
$product = Get-CimInstance Win32_ComputerSystemProduct
$computer = Get-CimInstance Win32_ComputerSystem
$firmware = Registry $control 'PEFirmwareType'
$battery = Get-CimInstance Win32_Battery | Select-Object -First 1
$who = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
[pscustomobject]@{
  isAdministrator = $who.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
  firmwareType = if ($null -ne $firmware) { $firmware } else { [string]$env:firmware_type }
  secureBoot = Registry "$control\\SecureBoot\\State" 'UEFISecureBootEnabled'
  architecture = Registry "$control\\Session Manager\\Environment" 'PROCESSOR_ARCHITECTURE'
  hostname = [string]$env:COMPUTERNAME
  productName = Registry $nt 'ProductName'
  displayVersion = Registry $nt 'DisplayVersion'
  build = Registry $nt 'CurrentBuildNumber'
  edition = Registry $nt 'EditionID'
  vendor = $product.Vendor
  product = $product.Name
  memoryBytes = [long]$computer.TotalPhysicalMemory
  availableMemoryBytes = [long]$system.FreePhysicalMemory * 1024
  fastStart = Registry "$control\\Session Manager\\Power" 'HiberbootEnabled'
  hibernation = Registry "$control\\Power" 'HibernateEnabled'
  battery = if ($battery) { [pscustomobject]@{ isDischarging = ([int]$battery.BatteryStatus -in 1, 4, 5); percent = [int]$battery.EstimatedChargeRemaining } } else { $null }
  noAutoMount = Registry 'HKLM:\\SYSTEM\\CurrentControlSet\\Services\\MountMgr' 'NoAutoMount'
  bootCount = Registry "$control\\Session Manager\\Memory Management\\PrefetchParameters" 'BootId'
  startedAt = $system.LastBootUpTime.ToUniversalTime().ToString('o')
  systemDrive = [string]$env:SystemDrive
  programFiles = [string]$env:ProgramFiles
} | ConvertTo-Json -Compress -Depth 4
`;

/**
 * Only Windows' own partition is asked how far it can shrink, which takes long. BitLocker is asked by its CIM class: the cmdlets of it are not in every edition. Win32_Volume knows the serial number of a file
 * system, which is what Linux calls the UUID of a FAT.
 */
export const readDisksScript = `
$volumes = @{}
foreach ($v in @(Get-CimInstance Win32_Volume)) { $volumes[[string]$v.DeviceID] = $v }
$locks = @{}
$lockState = 'unknown'
try {
  foreach ($e in @(Get-CimInstance -Namespace 'root\\cimv2\\Security\\MicrosoftVolumeEncryption' -ClassName Win32_EncryptableVolume)) {
    $conversion = try { (Invoke-CimMethod -InputObject $e -MethodName GetConversionStatus).ConversionStatus } catch { $e.ConversionStatus }
    $locks[[string]$e.DeviceID] = [pscustomobject]@{ protectionStatus = [int]$e.ProtectionStatus; conversionStatus = if ($null -eq $conversion) { $null } else { [int]$conversion } }
  }
  $lockState = 'read'
} catch {
  if ($_.Exception.Message -match '0x8004100E|0x80041010' -or "$($_.FullyQualifiedErrorId)" -match '8004100e|80041010') { $lockState = 'absent' }
}
$disks = @(Get-Disk | Sort-Object Number | ForEach-Object {
  $disk = $_
  $partitions = @(Get-Partition -DiskNumber $disk.Number -ErrorAction SilentlyContinue | Sort-Object Offset | ForEach-Object {
    $p = $_
    $path = [string](@($p.AccessPaths | Where-Object { $_ -like '\\\\?\\Volume*' }) | Select-Object -First 1)
    $v = if ($path) { $volumes[$path] } else { $null }
    $size = $null
    if ($v -and $v.FileSystem -eq 'NTFS' -and $p.IsBoot) {
      try { $s = Get-PartitionSupportedSize -DiskNumber $disk.Number -PartitionNumber $p.PartitionNumber; $size = [pscustomobject]@{ minimumBytes = [long]$s.SizeMin; maximumBytes = [long]$s.SizeMax } } catch { }
    }
    [pscustomobject]@{
      number = [int]$p.PartitionNumber
      offsetBytes = [long]$p.Offset
      sizeBytes = [long]$p.Size
      gptType = [string]$p.GptType
      mbrType = if ($null -eq $p.MbrType) { $null } else { [int]$p.MbrType }
      guid = [string]$p.Guid
      driveLetter = ([string]$p.DriveLetter).Trim([char]0)
      accessPaths = @($p.AccessPaths | ForEach-Object { [string]$_ })
      isBoot = [bool]$p.IsBoot
      isSystem = [bool]$p.IsSystem
      volume = if ($v) { [pscustomobject]@{ path = $path; fileSystem = [string]$v.FileSystem; label = [string]$v.Label; sizeBytes = [long]$v.Capacity; freeBytes = [long]$v.FreeSpace; serial = if ($null -eq $v.SerialNumber) { $null } else { [long]$v.SerialNumber } } } else { $null }
      bitLocker = if ($path) { $locks[$path] } else { $null }
      supportedSize = $size
    }
  })
  [pscustomobject]@{
    number = [int]$disk.Number
    uniqueId = [string]$disk.UniqueId
    serialNumber = ([string]$disk.SerialNumber).Trim()
    model = ([string]$disk.FriendlyName).Trim()
    guid = [string]$disk.Guid
    sizeBytes = [long]$disk.Size
    logicalSectorBytes = [int]$disk.LogicalSectorSize
    partitionStyle = [string]$disk.PartitionStyle
    busType = [string]$disk.BusType
    isBoot = [bool]$disk.IsBoot
    isSystem = [bool]$disk.IsSystem
    isOffline = [bool]$disk.IsOffline
    isReadOnly = [bool]$disk.IsReadOnly
    partitions = $partitions
  }
})
[pscustomobject]@{ bitLocker = $lockState; disks = $disks } | ConvertTo-Json -Compress -Depth 6
`;

/** DNS servers that DHCP gave are not asked for: NameServer of an interface holds those that someone wrote. */
export const readNetworksScript = `
$tcpip = 'HKLM:\\SYSTEM\\CurrentControlSet\\Services'
function Registry($path, $name) { try { (Get-ItemProperty -LiteralPath $path -Name $name).$name } catch { $null } }
$adapters = @(Get-NetAdapter -Physical -ErrorAction SilentlyContinue | ForEach-Object {
  $n = $_
  $guid = [string]$n.InterfaceGuid
  $dns = @('Tcpip', 'Tcpip6' | ForEach-Object { Registry "$tcpip\\$_\\Parameters\\Interfaces\\$guid" 'NameServer' } | Where-Object { $_ } | ForEach-Object { $_ -split '[ ,]+' } | Where-Object { $_ })
  [pscustomobject]@{
    name = [string]$n.Name
    description = [string]$n.InterfaceDescription
    mac = [string]$n.MacAddress
    permanentMac = [string]$n.PermanentAddress
    isWireless = ([int]$n.NdisPhysicalMedium -eq 9 -or [int]$n.NdisPhysicalMedium -eq 1)
    isUp = ([string]$n.Status -eq 'Up')
    addresses = @(Get-NetIPAddress -InterfaceIndex $n.ifIndex -ErrorAction SilentlyContinue | ForEach-Object {
      [pscustomobject]@{ address = [string]$_.IPAddress; prefixLength = [int]$_.PrefixLength; origin = [string]$_.PrefixOrigin }
    })
    dhcp = @(Get-NetIPInterface -InterfaceIndex $n.ifIndex -ErrorAction SilentlyContinue | ForEach-Object {
      [pscustomobject]@{ family = [string]$_.AddressFamily; enabled = [string]$_.Dhcp }
    })
    routes = @(Get-NetRoute -InterfaceIndex $n.ifIndex -PolicyStore PersistentStore -ErrorAction SilentlyContinue | ForEach-Object {
      [pscustomobject]@{ destination = [string]$_.DestinationPrefix; nextHop = [string]$_.NextHop; metric = [int]$_.RouteMetric }
    })
    gateways = @(Get-NetRoute -InterfaceIndex $n.ifIndex -DestinationPrefix '0.0.0.0/0', '::/0' -ErrorAction SilentlyContinue | ForEach-Object { [string]$_.NextHop })
    dns = $dns
    dnsSuffix = [string](Registry "$tcpip\\Tcpip\\Parameters\\Interfaces\\$guid" 'Domain')
  }
})
$user = 'HKCU:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Internet Settings'
$winHttp = Registry 'HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Connections' 'WinHttpSettings'
[pscustomobject]@{
  adapters = $adapters
  winInet = [pscustomobject]@{
    isEnabled = ([int](Registry $user 'ProxyEnable') -eq 1)
    server = Registry $user 'ProxyServer'
    exceptions = Registry $user 'ProxyOverride'
    script = Registry $user 'AutoConfigURL'
  }
  winHttp = if ($winHttp) { [Convert]::ToBase64String([byte[]]$winHttp) } else { $null }
} | ConvertTo-Json -Compress -Depth 6
`;

/**
 * The profiles with their passwords, and the exit status of netsh, which is 1 where there is nothing to export. The directory takes its rights before anything is in it: SYSTEM (S-1-5-18) and administrators
 * (S-1-5-32-544), by identifiers, as names are translated. WlanSvc writes as SYSTEM.
 */
export const exportWifiProfilesScript = `
if (-not (Get-Service -Name WlanSvc -ErrorAction SilentlyContinue)) { '{"profiles":[]}' } else {
  $directory = Join-Path $env:SystemRoot ('Temp\\migrate-' + [Guid]::NewGuid().ToString('N'))
  $rights = New-Object Security.AccessControl.DirectorySecurity
  $rights.SetAccessRuleProtection($true, $false)
  foreach ($sid in 'S-1-5-18', 'S-1-5-32-544') {
    $rights.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule((New-Object Security.Principal.SecurityIdentifier $sid), 'FullControl', 'ContainerInherit,ObjectInherit', 'None', 'Allow')))
  }
  New-Item -ItemType Directory -Path $directory | Out-Null
  try {
    Set-Acl -LiteralPath $directory -AclObject $rights
    netsh.exe wlan export profile key=clear "folder=$directory" | Out-Null
    $status = $LASTEXITCODE
    $profiles = @(Get-ChildItem -LiteralPath $directory -Filter *.xml | Sort-Object Name | ForEach-Object { [IO.File]::ReadAllText($_.FullName) })
    [pscustomobject]@{ profiles = $profiles; status = $status } | ConvertTo-Json -Compress -Depth 3
  } finally {
    Remove-Item -LiteralPath $directory -Recurse -Force
  }
}
`;
